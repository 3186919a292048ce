// Package ratelimit decides whether a caller may do something now: named
// policies, who is counted as one caller, a count in Redis or in the process,
// the passage between the two, and what an HTTP or XML-RPC route does with it.
//
// A [Policy] gives every [Caller] a bucket that holds Burst events, is full at
// first, and fills again at Rate. A [Limiter] answers a question about one
// bucket with a [Decision], a value that can say when to come back:
//
//   - [Redis] counts for all gateways together, with the arithmetic of
//     redis_rate, under keys "trackgate:POLICY:CALLER";
//   - [Local] counts in the process, with golang.org/x/time/rate, in bounded
//     memory that a flood of new callers cannot use to reset an old one;
//   - [Failover] asks Redis and, when Redis does not answer in time, decides by
//     a Local with this gateway's part of the policy, within the same request.
//     It neither opens nor shuts, says so in log and metrics, and comes back by
//     itself.
//
// A [Throttle] puts a limiter before routes: [Throttle.Charge] for the rules of a request,
// [Throttle.Gate] for a route on which failures count more than successes. A
// refusal is the catalogue's TOO_MANY_REQUESTS.
//
// [Callers] says which address a request is counted under, also behind trusted
// proxies.
package ratelimit
