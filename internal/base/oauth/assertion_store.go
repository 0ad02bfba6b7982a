package oauth

import "yarrow.health/internal/base/db"

var (
	insertAssertion = db.SQL(`INSERT INTO oauth_assertion (practice_id, jti, expires) VALUES ($1, $2, $3)
		ON CONFLICT (practice_id, jti) DO NOTHING`)
	sweepAssertions = db.SQL(`DELETE FROM oauth_assertion WHERE practice_id = $1 AND expires < $2`)
)
