package simulate

import (
	"math"
	"time"
)

// growth is the median of CDC's growth reference (public domain) at a few ages: months,
// then weight in kg and height in cm of boys and of girls.
var growth = [][5]float64{
	{0, 3.5, 3.4, 50, 49.3}, {1, 4.5, 4.2, 54.5, 53.6}, {2, 5.6, 5.1, 58.2, 57}, {4, 7, 6.4, 63.6, 61.9}, {6, 7.9, 7.3, 67.4, 65.5}, {9, 8.9, 8.2, 72, 70},
	{12, 9.7, 9, 75.8, 74}, {15, 10.4, 9.7, 79, 77.4}, {18, 11, 10.3, 82.2, 80.7}, {24, 12.4, 11.8, 86.9, 85.5}, {36, 14.3, 13.9, 95.4, 94.2}, {48, 16.3, 15.9, 102.5, 101.1},
	{60, 18.5, 18, 109.2, 108}, {72, 20.8, 20.3, 115.6, 115.1}, {84, 23.1, 22.9, 122, 121.5}, {96, 25.7, 25.8, 128, 127.6}, {108, 28.7, 29.1, 133.6, 132.9}, {120, 32.1, 33.1, 138.7, 138.2},
	{132, 36.1, 37.4, 143.7, 144.8}, {144, 40.7, 41.8, 149.3, 151.5}, {156, 45.8, 46, 156.4, 157.1}, {168, 51.2, 49.5, 164.1, 160.4}, {180, 56.5, 52.1, 170.1, 161.9},
	{192, 61.1, 53.9, 173.4, 162.6}, {204, 64.7, 55.2, 175.2, 163}, {216, 67.3, 56.2, 176.1, 163.2}, {240, 70.6, 58.2, 176.8, 163.3},
}

func median(months float64, column int) float64 {
	for i := 1; i < len(growth); i++ {
		if a, b := growth[i-1], growth[i]; months <= b[0] {
			return a[column] + (b[column]-a[column])*(months-a[0])/(b[0]-a[0])
		}
	}
	return growth[len(growth)-1][column]
}

func (p *patient) girl() int {
	if p.sex == "female" {
		return 1
	}
	return 0
}

// height is in inches. Adults lose a little after sixty.
func (p *patient) height(t time.Time) float64 {
	months := p.age(t) * 12
	cm := median(months, 3+p.girl()) * (1 + p.tall*0.041)
	if a := p.age(t); a > 60 {
		cm -= (a - 60) * 0.09
	}
	return cm / 2.54
}

// weight is in pounds, without the day's chance. Adults are heavier than the twenty-year-old median.
func (p *patient) weight(t time.Time) float64 {
	age := p.age(t)
	z := p.heavy
	z = max(-1.6, min(z, 2.2))
	if age < 18 {
		z = min(1.8, z)
	}
	spread := 0.11
	if age > 2 {
		spread = min(0.19, 0.11+age*0.006)
	}
	kg := median(age*12, 1+p.girl()) * (1 + z*spread)
	if age > 20 {
		kg *= 1.05 + 0.1*min(1, (age-20)/25)
		if age > 72 {
			kg *= 1 - (age-72)*0.004
		}
	}
	if p.has("newborn") && age < 0.03 {
		kg = 3.42 * (1 + p.heavy*0.05) * (0.94 + age*365.25*0.006)
	}
	return kg / 0.45359237
}

// head is the head circumference in cm, for infants.
func (p *patient) head(t time.Time) float64 {
	m := p.age(t) * 12
	cm := 34.6 + 13.2*(1-math.Exp(-m/8.5))
	if p.sex == "female" {
		cm -= 0.8
	}
	return cm * (1 + p.tall*0.012)
}

// pressure, pulse and breathing of children at rest by age.
func childPulse(years float64) float64   { return max(72, 138-30*math.Log1p(years)) }
func childBreaths(years float64) float64 { return max(17.5, 38-9.2*math.Log1p(years)) }
func childSystolic(years float64) float64 {
	return 88 + min(years, 17)*1.75
}

// filtration is the 2021 CKD-EPI estimate (Inker and others, N Engl J Med 2021) from serum creatinine in mg/dL.
func filtration(creatinine, years float64, sex string) float64 {
	k, a, f := 0.9, -0.302, 1.0
	if sex == "female" {
		k, a, f = 0.7, -0.241, 1.012
	}
	return 142 * math.Pow(min(creatinine/k, 1), a) * math.Pow(max(creatinine/k, 1), -1.2) * math.Pow(0.9938, years) * f
}

// creatinineAt is the creatinine that gives a filtration, to two decimals.
func creatinineAt(rate, years float64, sex string) float64 {
	low, high := 0.2, 12.0
	for range 40 {
		mid := (low + high) / 2
		if filtration(mid, years, sex) > rate {
			low = mid
		} else {
			high = mid
		}
	}
	return rounded(low, 2)
}
