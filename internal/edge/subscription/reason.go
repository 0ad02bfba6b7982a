package subscription

import (
	"fmt"

	"yarrow.health/internal/standards/fhir"
)

// Why a subscription sends nothing, for its program and for the administrator.

func overAuthority() *fhir.Issue {
	return fhir.Problem("login", "The program may not do this any more: its access was taken back or has expired.", "It may subscribe again when it has access.")
}

func overTime() *fhir.Issue {
	return fhir.Problem("expired", "The end that the program set has come.", "Nothing needs to be done.")
}

func overByHand() *fhir.Issue {
	return fhir.Problem("suppressed", "An administrator of the practice ended it.", "It can be started again under Subscriptions.")
}

func notAllowed(host string) *fhir.Issue {
	return fhir.Problem("forbidden", fmt.Sprintf("The practice has not allowed %s to be told.", host), "An administrator allows the host under Subscriptions, with the agreement that covers it.")
}

func notFetched(host string) *fhir.Issue {
	return fhir.Problem("forbidden", fmt.Sprintf("The practice has not allowed files to be fetched from %s.", host), "An administrator allows the host under Subscriptions, with the agreement that covers it.")
}

func notReachable() *fhir.Issue {
	return fhir.Problem("security", "The address is not one that may be reached.", "It must be a host on the internet, over https on a port that was allowed.")
}

func notHeard() *fhir.Issue {
	return fhir.Problem("transient", "The receiver could not be reached.", "It is tried again by itself, with ever longer waits.")
}

func notInTime(seconds int) *fhir.Issue {
	return fhir.Problem("timeout", fmt.Sprintf("The receiver did not answer within %d seconds.", seconds), "It is tried again by itself, with ever longer waits.")
}

func notTaken(status int) *fhir.Issue {
	return fhir.Problem("transient", fmt.Sprintf("The receiver answered %d.", status), "It is tried again by itself, with ever longer waits.")
}

func notWanted() *fhir.Issue {
	return fhir.Problem("deleted", "The receiver answered 410: it does not want this any more.", "The program may subscribe again.")
}
