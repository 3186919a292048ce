package bugzilla

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// askVersion calls a method that tells a version to whoever asks. What is no answer
// of such a method is told in a sentence; an error says that the tracker could not
// be asked.
func (s *site) askVersion(ctx context.Context, method string) (version, refusal string, err error) {
	var answer map[string]any
	_, err = s.rpc.CallAlone(ctx, method, &answer, nil, map[string]any{})
	if err == nil {
		if version = text(answer, "version"); version == "" {
			return "", method + " answered without a version.", nil
		}
		return version, "", nil
	}
	if fault := faultOf(err); fault != nil {
		return "", describeFault(method, fault), nil
	}
	if !apierror.Is(err, apierror.TrackerBadAnswer) {
		return "", "", err
	}
	var status *xmlrpc.HTTPError
	if !errors.As(err, &status) {
		return "", method + " was answered with something that is no XML-RPC, or not of this method.", nil
	}
	switch status.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "", "", err // closed for now, and what it speaks is not known
	}
	return "", fmt.Sprintf("%s was answered with HTTP %d.", method, status.StatusCode), nil
}

// describeFault tells what the fault of a method that may not exist means.
func describeFault(method string, fault *xmlrpc.Fault) string {
	switch {
	case fault.CodeText != "":
		return fmt.Sprintf("%s was answered with the fault %q, as of a class of methods that is not installed.", method, fault.CodeText)
	case fault.Code == xmlrpc.CodeMethodNotFound:
		return fmt.Sprintf("%s was answered with fault %d: there is no such method.", method, fault.Code)
	}
	return fmt.Sprintf("%s was answered with fault %d.", method, fault.Code)
}

// detection is what a version, or the reason why there is none, means.
func detection(version, refusal, what string) bridge.Detection {
	if refusal != "" {
		return bridge.Detection{Reason: refusal}
	}
	return bridge.Detection{Found: true, Reason: fmt.Sprintf("%s is %s.", what, quoted(version))}
}
