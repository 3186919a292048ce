package bridge

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/trackgate/trackgate/apierror"
)

// caught is deferred where a dialect runs in a goroutine of the bridge's own, in
// which a panic would end the process. It puts SERVER_ERROR in place of the
// panic and leaves the stack in the log.
func caught(logger *slog.Logger, tracker string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	text := scrub(fmt.Sprint(p), nil)
	logger.Error("a dialect panicked", "tracker", tracker, "panic", text, "stack", string(debug.Stack()))
	*err = apierror.New(apierror.ServerError).WithCause(fmt.Errorf("bridge: a dialect panicked: %s", text))
}
