package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"

	"yarrow.health/internal/standards/fhir"
)

// sealTo says whom a file is encrypted to.
type sealTo struct {
	Recipient      []string `help:"Who can open it: an age recipient. May be given several times." placeholder:"age1…"`
	PassphraseFile string   `help:"File whose first line is the passphrase." placeholder:"FILE"`
}

func (s sealTo) recipients() ([]age.Recipient, string, error) {
	if len(s.Recipient) > 0 && s.PassphraseFile != "" || len(s.Recipient) == 0 && s.PassphraseFile == "" {
		return nil, "", fhir.Problem("required", "It is not said who can open the file.",
			"Give either --recipient age1… (make one with `yarrow keys identity`) or --passphrase-file.")
	}
	if s.PassphraseFile != "" {
		text, err := passphrase(s.PassphraseFile)
		return nil, text, err
	}
	var out []age.Recipient
	for _, text := range s.Recipient {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
		if err != nil {
			return nil, "", fhir.Problem("value", fmt.Sprintf("%q is not an age recipient.", text), "Write it as age1… as `yarrow keys identity` or age-keygen printed it.").Because(err)
		}
		out = append(out, r)
	}
	return out, "", nil
}

// openWith says how an encrypted file is opened.
type openWith struct {
	Identity       string `help:"File with the age identity it was encrypted to." placeholder:"FILE"`
	PassphraseFile string `help:"File whose first line is the passphrase." placeholder:"FILE"`
}

func (o openWith) identities() ([]age.Identity, error) {
	switch {
	case o.Identity != "" && o.PassphraseFile == "":
		f, err := os.Open(o.Identity)
		if err != nil {
			return nil, cannotRead("identity file", o.Identity, err)
		}
		defer f.Close()
		who, err := age.ParseIdentities(f)
		if err != nil {
			return nil, fhir.Problem("value", fmt.Sprintf("The file %s holds no age identity.", o.Identity), "It has a line that begins with AGE-SECRET-KEY-1.")
		}
		return who, nil
	case o.PassphraseFile != "" && o.Identity == "":
		text, err := passphrase(o.PassphraseFile)
		if err != nil {
			return nil, err
		}
		who, err := age.NewScryptIdentity(text)
		return []age.Identity{who}, err
	}
	return nil, fhir.Problem("required", "It is not said how the file is opened.", "Give either --identity FILE or --passphrase-file FILE.")
}

func passphrase(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", cannotRead("passphrase file", file, err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	line = strings.TrimRight(line, "\r")
	if len(line) < 12 {
		return "", fhir.Problem("value", fmt.Sprintf("The passphrase in %s is shorter than 12 characters.", file), "Choose a longer one; several random words are good.")
	}
	return line, nil
}

func cannotRead(what, path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fhir.Problem("not-found", fmt.Sprintf("There is no %s %s.", what, path), "Check the name.").Because(err)
	}
	return fhir.Problem("forbidden", fmt.Sprintf("The %s %s cannot be read.", what, path), "Check that you may read it.").Because(err)
}
