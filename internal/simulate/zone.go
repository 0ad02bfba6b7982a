package simulate

import "time"

// zones are places a demonstration's clock may stand, its own first, then westward round the world.
var zones = []string{"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu", "Pacific/Auckland",
	"Australia/Sydney", "Asia/Tokyo", "Asia/Shanghai", "Asia/Bangkok", "Asia/Dhaka", "Asia/Karachi", "Asia/Dubai", "Europe/Istanbul", "Europe/Athens", "Europe/Berlin", "Europe/London", "Atlantic/Azores", "America/Sao_Paulo"}

// Daytime is the zone the practice's clock shows: the first of the list in which the practice is in the middle of its day at that
// moment, so that whoever tries it meets patients in the waiting room at any hour. The same moment always gives the same zone.
func Daytime(now time.Time) *time.Location {
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic("simulate: " + err.Error()) // zones are built in
		}
		local := now.In(zone)
		if m := local.Hour()*60 + local.Minute(); m >= 9*60 && m < 15*60+30 {
			return zone
		}
	}
	panic("simulate: it is never daytime") // the list goes round the world
}
