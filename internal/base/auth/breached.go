package auth

import (
	"strings"
	"sync"
)

// commonCores are the stems of the passwords that lists of breached accounts are full of: with their case, the
// digits and signs at both ends, and the usual letter substitutions taken away. Written by us; zxcvbn carries longer
// lists of its own.
const commonCores = `password passwort passwd pass pword contrasena motdepasse qwerty qwertyuiop qwertz azerty asdf
asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx qazwsxedc wsxedc letmein welcome willkommen bienvenue welcomeback iloveyou
loveyou ilove teamo monkey dragon football futbol soccer baseball basketball hockey golf tennis master superman
batman spiderman ironman starwars startrek pokemon pikachu princess sunshine shadow charlie michael michelle jennifer
jessica jordan daniel ashley nicole andrew thomas robert matthew joshua amanda william hannah samantha george maria
jose carlos juan francisco admin administrator adminadmin root toor user guest test tester testing testtest demo
default changeme change changeit secret secreto topsecret access login logon signin hello hellohello whatever trustno
freedom liberty america usa canada mexico texas california newyork chicago boston dallas denver london paris berlin
summer winter spring autumn fall january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday mustang ferrari porsche harley corvette camaro yamaha honda
toyota mercedes bmw cheese cookie chocolate banana apple orange pepper ginger buster tigger bailey maggie max lucky
killer hunter ranger matrix internet computer laptop server windows microsoft google facebook samsung iphone android
flower butterfly rainbow angel angels heaven jesus christ jesuschrist blessed god faith family mother father daddy
mommy baby babygirl lovely sweetie honey money dollar ninja wizard merlin gandalf hobbit zelda mario sonic
doctor nurse medical medicine hospital clinic health healthcare patient practice office dental dentist pharmacy
physician surgery emergency epic cerner medplum openemr yarrow ehr emr hipaa biller billing frontdesk reception
abc abcd abcdef abcdefg abcabc abcdefgh aaa aaaa aaaaaa aaaaaaaa xxx xxxxxx zzzzzz correcthorsebatterystaple
tobeornottobe maytheforcebewithyou onceuponatime thequickbrownfox letmeinnow opensesame nopassword mypassword
yourpassword newpassword temppassword passwordpassword qwertyqwerty welcomewelcome`

var cores = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{"": true} // only digits and signs
	for _, w := range strings.Fields(commonCores) {
		m[w] = true
	}
	return m
})

var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "8", "b", "@", "a", "$", "s", "!", "i", "€", "e", "|", "l")

// breached says whether a password is a common one under its decoration.
func breached(password string) bool {
	p := strings.ToLower(strings.Join(strings.Fields(password), ""))
	for _, variant := range []string{p, unleet.Replace(trimSigns(p)), unleet.Replace(p)} {
		core := trimSigns(variant)
		if cores()[core] {
			return true
		}
		// "welcome1welcome1", "password password"
		if half := len(core) / 2; len(core)%2 == 0 && core[:half] == core[half:] && cores()[trimSigns(core[:half])] {
			return true
		}
	}
	return false
}

// trimSigns takes away what is not a letter at both ends.
func trimSigns(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r < 'a' && r < 0x80 || r > 'z' && r < 0x80 })
}
