package apierror

import "net/http"

// Name names an error. The names are part of the gateway's contract.
type Name string

// The errors of the specification.
const (
	InvalidData         Name = "INVALID_DATA"
	CaptchaRequired     Name = "CAPTCHA_REQUIRED"
	InvalidCredentials  Name = "INVALID_CREDENTIALS"
	TwoFactorRequired   Name = "TWOFACTOR_REQUIRED"
	AccountSuspended    Name = "ACCOUNT_SUSPENDED"
	AccountDeactivated  Name = "ACCOUNT_DEACTIVATED"
	EmailInvalidated    Name = "EMAIL_INVALIDATED"
	CanNotResetPassword Name = "CAN_NOT_RESET_PASSWORD"
	CaptchaFailure      Name = "CAPTCHA_FAILURE"
	TooManyTokens       Name = "TOO_MANY_TOKENS"
	TwoFactorFailure    Name = "TWOFACTOR_FAILURE"
	PasswordPolicyError Name = "PASSWORD_POLICY_ERROR"
	Forbidden           Name = "FORBIDDEN"
	ResourceNotFound    Name = "RESOURCE_NOT_FOUND"
	AlreadyRegistered   Name = "ALREADY_REGISTERED"
	TooManyRequests     Name = "TOO_MANY_REQUESTS"
	CaptchaError        Name = "CAPTCHA_ERROR"
	ServerError         Name = "SERVER_ERROR"
)

// The gateway's own errors.
const (
	TokenInvalid       Name = "TOKEN_INVALID"
	TokenMismatch      Name = "TOKEN_MISMATCH"
	MethodNotAllowed   Name = "METHOD_NOT_ALLOWED"
	RequestTooLarge    Name = "REQUEST_TOO_LARGE"
	StoreUnavailable   Name = "STORE_UNAVAILABLE"
	TrackerUnavailable Name = "TRACKER_UNAVAILABLE"
	TrackerTimeout     Name = "TRACKER_TIMEOUT"
	TrackerBadAnswer   Name = "TRACKER_BAD_ANSWER"
	TrackerFault       Name = "TRACKER_FAULT"
	TrackerLoginFailed Name = "TRACKER_LOGIN_FAILED"
	OutcomeUnknown     Name = "OUTCOME_UNKNOWN"
	NotSupported       Name = "NOT_SUPPORTED"
)

// entry is one row of the catalogue. normalised is the code of error_list,
// one of a closed set of ten.
type entry struct {
	name       Name
	status     int
	fault      int
	message    string
	normalised string
}

const (
	accountNotReady    = "account-not-ready"
	badRequest         = "bad-request"
	internalError      = "internal-server-error"
	invalidData        = "invalid-data"
	invalidCredentials = "invalid-credentials"
	invalidRequest     = "invalid-request"
	permissionRequired = "permission-required"
	fieldRequired      = "field-required"
	resourceNotFound   = "resource-not-found"
	resourceNotReady   = "resource-not-ready"
)

var catalogue = index([]entry{
	{InvalidData, http.StatusBadRequest, 400, "Invalid request data", invalidData},
	{CaptchaRequired, http.StatusUnauthorized, 401, "A captcha challenge is required to complete the request.", fieldRequired},
	{InvalidCredentials, http.StatusUnauthorized, 401, "Provided email/password is not correct.", invalidCredentials},
	{TwoFactorRequired, http.StatusUnauthorized, 401, "2-factor authentication required.", fieldRequired},
	{AccountSuspended, http.StatusForbidden, 403, "Your account has been suspended. Please contact login support to re-enable it", accountNotReady},
	{AccountDeactivated, http.StatusForbidden, 403, "Your account has been deactivated. To reactivate it, please reset your password", accountNotReady},
	{EmailInvalidated, http.StatusForbidden, 403, "This email address has been invalidated. Please contact login support.", accountNotReady},
	{CanNotResetPassword, http.StatusForbidden, 403, "Can not reset password. Please contact login support", invalidRequest},
	{CaptchaFailure, http.StatusForbidden, 403, "Failed response to captcha challenge.", resourceNotFound},
	{TooManyTokens, http.StatusForbidden, 403, "Too many non-consumed tokens exist. Further token creation is not allowed until existing tokens are consumed.", resourceNotReady},
	{TwoFactorFailure, http.StatusForbidden, 403, "The provided 2-factor key is not recognised.", invalidCredentials},
	{PasswordPolicyError, http.StatusForbidden, 403, "Your password doesn't meet security constraints.", invalidCredentials},
	{Forbidden, http.StatusForbidden, 403, "Insufficient permissions.", permissionRequired},
	{ResourceNotFound, http.StatusNotFound, 404, "The resource requested was not found.", resourceNotFound},
	{AlreadyRegistered, http.StatusConflict, 409, "The email address is already registered", resourceNotReady},
	{TooManyRequests, http.StatusTooManyRequests, 429, "Too many requests. Please try again later.", badRequest},
	{CaptchaError, http.StatusBadGateway, 502, "Unable to get a valid response from reCaptcha service", internalError},
	{ServerError, http.StatusInternalServerError, 500, "internal server error", internalError},

	{TokenInvalid, http.StatusGone, 410, "Token has already been used or is invalid.", resourceNotFound},
	{TokenMismatch, http.StatusForbidden, 403, "The token does not match.", invalidCredentials},
	{MethodNotAllowed, http.StatusMethodNotAllowed, -32600, "The HTTP method is not allowed here.", badRequest},
	{RequestTooLarge, http.StatusRequestEntityTooLarge, -32600, "The request is larger than a limit allows.", badRequest},
	{StoreUnavailable, http.StatusServiceUnavailable, 503, "The token store does not answer. Please try again later.", internalError},
	{TrackerUnavailable, http.StatusBadGateway, 2001, "The bug tracker cannot be reached.", internalError},
	{TrackerTimeout, http.StatusGatewayTimeout, 2002, "The bug tracker did not answer in time.", internalError},
	{TrackerBadAnswer, http.StatusBadGateway, 2003, "The bug tracker gave an answer that cannot be used.", internalError},
	{TrackerFault, http.StatusBadGateway, 2004, "The bug tracker answered with a fault.", internalError},
	{TrackerLoginFailed, http.StatusBadGateway, 2005, "The bug tracker refused the log-in.", internalError},
	{OutcomeUnknown, http.StatusBadGateway, 2006, "The bug tracker was sent a change and its answer never came: it may have been made or not.", internalError},
	{NotSupported, http.StatusNotImplemented, 2007, "The bug tracker's dialect cannot do this.", invalidRequest},
})

func index(rows []entry) map[Name]*entry {
	m := make(map[Name]*entry, len(rows))
	for i := range rows {
		m[rows[i].name] = &rows[i]
	}
	return m
}
