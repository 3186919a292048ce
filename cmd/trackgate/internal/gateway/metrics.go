package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/hook"
	"github.com/trackgate/trackgate/ratelimit"
)

// metrics are what /metrics shows. The labels come from closed sets and from
// the configuration, never from what a caller sent.
type metrics struct {
	registry  *prometheus.Registry
	minted    prometheus.Counter
	consumed  prometheus.Counter
	revoked   prometheus.Counter
	probes    prometheus.Counter
	refused   map[handshake.Reason]prometheus.Counter
	throttle  *prometheus.CounterVec
	shared    prometheus.Gauge
	clockSkew prometheus.Gauge
	calls     *prometheus.CounterVec
	callTime  *prometheus.HistogramVec
	logins    *prometheus.CounterVec
	requests  *prometheus.HistogramVec
	guarded   *prometheus.CounterVec
	hooks     *prometheus.CounterVec
	polls     *prometheus.CounterVec
	changes   *prometheus.CounterVec
	pollTime  *prometheus.HistogramVec
	polled    *prometheus.GaugeVec
	held      *prometheus.GaugeVec
}

var (
	_ handshake.Observer = (*metrics)(nil)
	_ ratelimit.Observer = (*metrics)(nil)
	_ bridge.Observer    = (*metrics)(nil)

	_ bridge.WatchObserver = (*metrics)(nil)
)

// callBuckets are for what waits for somebody else's server, in seconds.
var callBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25}

// requestBuckets are for what the gateway answers itself, in seconds.
var requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 25}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		minted:    counter("tokens_minted_total", "Tokens minted."),
		consumed:  counter("tokens_consumed_total", "Tokens accepted at a callback."),
		revoked:   counter("tokens_revoked_total", "Tokens revoked before they were used."),
		probes:    counter("tokens_probed_total", "Callbacks for the token check, with which new trackers are probed."),
		refused:   map[handshake.Reason]prometheus.Counter{},
		throttle:  counters("throttle_decisions_total", "Decisions of the throttle.", "policy", "outcome"),
		shared:    gauge("throttle_shared", "1 while the throttle counts in Redis, 0 while it counts alone."),
		clockSkew: gauge("redis_clock_skew_seconds", "How far the clock of Redis is ahead of the gateway's; 0 where limits are counted in the process."),
		calls:     counters("tracker_calls_total", "Calls to trackers.", "tracker", "outcome"),
		callTime:  histograms("tracker_call_seconds", "Duration of calls to trackers.", callBuckets, "tracker"),
		logins:    counters("tracker_logins_total", "Log-ins to trackers.", "tracker", "outcome"),
		requests:  histograms("request_seconds", "Duration of requests.", requestBuckets, "listener", "route", "status"),
		guarded:   counters("guard_refusals_total", "Requests refused before they were looked at.", "listener", "reason"),
		hooks:     counters("hook_calls_total", "Calls of web hooks.", "hook", "outcome", "reason"),
		polls:     counters("watch_polls_total", "Polls of watched trackers.", "tracker", "watch", "outcome"),
		changes:   counters("watch_changes_total", "Changes that polls have put into the feed of events.", "tracker", "watch"),
		pollTime:  histograms("watch_poll_seconds", "Duration of polls.", callBuckets, "tracker", "watch"),
		polled:    gauges("watch_last_success_timestamp_seconds", "When a poll last succeeded, in Unix seconds; 0 where none has yet.", "tracker", "watch"),
		held:      gauges("watch_held", "1 while this gateway is the one that polls.", "tracker", "watch"),
	}
	info := gauge("build_info", "Always 1; the label says which version runs.", "version", version)
	info.Set(1)
	refused := counters("tokens_refused_total", "Tokens that were not accepted, or could not be minted.", "reason")
	for _, reason := range handshake.Reasons() {
		m.refused[reason] = refused.WithLabelValues(string(reason))
	}
	m.registry.MustRegister(m.minted, m.consumed, m.revoked, m.probes, refused, m.throttle, m.shared, m.clockSkew, m.calls, m.callTime,
		m.logins, m.requests, m.guarded, m.hooks, m.polls, m.changes, m.pollTime, m.polled, m.held, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

const namespace = "trackgate"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string, label ...string) prometheus.Gauge {
	opts := prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}
	if len(label) == 2 {
		opts.ConstLabels = prometheus.Labels{label[0]: label[1]}
	}
	return prometheus.NewGauge(opts)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// Observe counts an event of a token.
func (m *metrics) Observe(_ context.Context, e handshake.Event) {
	switch e.Type {
	case handshake.EventMinted:
		m.minted.Inc()
	case handshake.EventConsumed:
		m.consumed.Inc()
	case handshake.EventRevoked:
		m.revoked.Inc()
	case handshake.EventProbe:
		m.probes.Inc()
	case handshake.EventRefused:
		if c := m.refused[e.Reason]; c != nil {
			c.Inc()
		}
	}
}

// TrackerCall counts one call to a tracker.
func (m *metrics) TrackerCall(tracker string, outcome bridge.Outcome, took time.Duration) {
	m.calls.WithLabelValues(tracker, string(outcome)).Inc()
	m.callTime.WithLabelValues(tracker).Observe(took.Seconds())
}

// TrackerLogin counts one log-in to a tracker.
func (m *metrics) TrackerLogin(tracker string, outcome bridge.Outcome, _ time.Duration) {
	m.logins.WithLabelValues(tracker, string(outcome)).Inc()
}

// hookCalled counts a call of a web hook. One that does not exist has no name.
func (m *metrics) hookCalled(e hook.Event) {
	m.hooks.WithLabelValues(e.Hook, string(e.Outcome), string(e.Reason)).Inc()
}

// WatchPolled counts one poll.
func (m *metrics) WatchPolled(watch, tracker string, outcome bridge.Outcome, changes int, took time.Duration) {
	m.polls.WithLabelValues(tracker, watch, string(outcome)).Inc()
	m.changes.WithLabelValues(tracker, watch).Add(float64(changes))
	m.pollTime.WithLabelValues(tracker, watch).Observe(took.Seconds())
	if outcome == bridge.OutcomeOK {
		m.polled.WithLabelValues(tracker, watch).SetToCurrentTime()
	}
}

// WatchHeld notes which gateway polls.
func (m *metrics) WatchHeld(watch, tracker string, held bool) {
	m.held.WithLabelValues(tracker, watch).Set(0)
	if held {
		m.held.WithLabelValues(tracker, watch).Set(1)
	}
}

// timed measures the requests of one route.
func (m *metrics) timed(listener, route string, next http.Handler) http.Handler {
	vec := m.requests.MustCurryWith(prometheus.Labels{"listener": listener, "route": route})
	// Nearly all answers have one of these; their children are looked up once.
	known := map[int]prometheus.Observer{}
	for _, status := range []int{http.StatusOK, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		known[status] = vec.WithLabelValues(strconv.Itoa(status))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(&recorder, r)
		observer := known[recorder.status]
		if observer == nil {
			observer = vec.WithLabelValues(strconv.Itoa(recorder.status))
		}
		observer.Observe(time.Since(start).Seconds())
	})
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	if status >= http.StatusOK { // not 100 Continue and its like
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what the recorder wraps.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// knowPolicy lets the counters of a policy start at zero.
func (m *metrics) knowPolicy(name string) {
	for _, outcome := range ratelimit.Outcomes() {
		m.throttle.WithLabelValues(name, string(outcome))
	}
}

// Decided counts a decision of the throttle.
func (m *metrics) Decided(policy string, outcome ratelimit.Outcome) {
	m.throttle.WithLabelValues(policy, string(outcome)).Inc()
}

// Switched notes where the throttle counts from now on.
func (m *metrics) Switched(to ratelimit.State) {
	if to == ratelimit.StateRedis {
		m.shared.Set(1)
		return
	}
	m.shared.Set(0)
}
