package main

// plan is what is done with the volumes of a run.
type plan struct {
	// For each volume before any is measured, and after all have been; may be none.
	before, after []step
	// For each volume, one volume after the other.
	measured []step
}

func planOf(cfg *config) plan {
	switch {
	case cfg.call == callEmpty:
		return plan{measured: []step{empty}}
	case cfg.call == callRepublish:
		return plan{before: []step{publish}, measured: []step{republish}, after: []step{unpublish}}
	case cfg.leave > 0:
		return plan{measured: []step{publish}}
	case cfg.remove > 0:
		return plan{measured: []step{unpublish}}
	}
	return plan{measured: []step{publish, unpublish}}
}

// adds says whether the run publishes volumes that were not there.
func (p plan) adds() bool {
	return append(p.before, p.measured...)[0].name == publish.name
}

// takesAway says whether no volume of the run is there after it.
func (p plan) takesAway() bool {
	all := append(p.measured, p.after...)
	return all[len(all)-1].name == unpublish.name
}
