package audit

import "strconv"

// events names the codes. The names are those of a closed set.
var events = map[Subsystem]map[Code]string{
	SubsystemToken: {TokenMinted: "minted", TokenConsumed: "consumed", TokenRefused: "refused",
		TokenRevoked: "revoked", TokenExpired: "expired"},
	SubsystemHook: {HookAuthentication: "authentication_failed", HookTokenCreated: "token_created",
		HookTokenRevoked: "token_revoked"},
	SubsystemTracker:  {TrackerLogin: "login"},
	SubsystemThrottle: {ThrottleRefused: "refused"},
	SubsystemGateway:  {GatewayStarted: "started", GatewayStopped: "stopped"},
	SubsystemOperator: {OperatorCommand: "command"},
	SubsystemTrail:    {TrailSuppressed: "suppressed", TrailDropped: "dropped", TrailWitnessed: "witnessed"},
}

// Event names a code of the subsystem, "unknown" when it is [Unknown], and
// "code_17" when it has no name.
func (s Subsystem) Event(c Code) string {
	if name, ok := events[s][c]; ok {
		return name
	}
	if c == Unknown {
		return "unknown"
	}
	return "code_" + strconv.Itoa(int(c))
}
