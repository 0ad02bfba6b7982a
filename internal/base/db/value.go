package db

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
)

// ErrText is returned for text neither engine may keep: a NUL (PostgreSQL refuses it, SQLite cuts the text short)
// or bytes that are not UTF-8.
var ErrText = errors.New("db: the text holds a NUL or is not UTF-8")

// canonicalAll brings arguments, in place, to nil, int64, float64, string, []byte, []int64 or []string.
func canonicalAll(args []any) error {
	for i, a := range args {
		switch v := a.(type) {
		case nil, int64:
		case string:
			if err := checkText(v); err != nil {
				return err
			}
		case []byte:
			if v == nil {
				args[i] = nil
			}
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return errors.New("db: a number that is not finite")
			}
		case int:
			args[i] = int64(v)
		case bool:
			args[i] = int64(0)
			if v {
				args[i] = int64(1)
			}
		case []int64:
		case []string:
			for _, s := range v {
				if err := checkText(s); err != nil {
					return err
				}
			}
		default:
			c, err := canonicalKind(a)
			if err != nil {
				return err
			}
			args[i] = c
		}
	}
	return nil
}

func checkText(s string) error {
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return ErrText
	}
	return nil
}

// canonicalKind serves named types such as PracticeID, and pointers, whose nil is NULL.
func canonicalKind(a any) (any, error) {
	v := reflect.ValueOf(a)
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		one := []any{v.Elem().Interface()}
		err := canonicalAll(one)
		return one[0], err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(v.Uint()), nil
	case reflect.Bool:
		if v.Bool() {
			return int64(1), nil
		}
		return int64(0), nil
	case reflect.String:
		return v.String(), checkText(v.String())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.IsNil() {
				return nil, nil
			}
			return v.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("db: %T cannot be stored; use int64, float64, string or []byte", a)
}
