package webhooks

// ClaimSome is the statement of a claim of deliveries.
const ClaimSome = claimSome

// SetHistoryRows bounds the rows that History reads at once.
func (s *Service) SetHistoryRows(rows int) { s.historyRows = rows }
