package webhooks

// ClaimSome is the statement of a claim of deliveries.
const ClaimSome = claimSome

// RecordSome is the statement that records delivered attempts.
var RecordSome = recordSome

// SetHistoryRows bounds the rows that History reads at once.
func (s *Service) SetHistoryRows(rows int) { s.historyRows = rows }
