package xmlrpc

import "context"

// directCall calls a method whose number of parameters has been found to be right.
type directCall func(ctx context.Context, m *registeredMethod, call *Call) (any, error)

// directly returns how a function is called without reflection, or nil. The
// methods that are called most, those that make a token for a tracker or for
// nobody, are of these types; reflection takes longer than they do.
func directly(fn any) directCall {
	switch fn := fn.(type) {
	case func() (string, error):
		return func(context.Context, *registeredMethod, *Call) (any, error) {
			return resultOf(fn())
		}
	case func(context.Context) (string, error):
		return func(ctx context.Context, _ *registeredMethod, _ *Call) (any, error) {
			return resultOf(fn(ctx))
		}
	case func(*string) (string, error):
		return func(_ context.Context, m *registeredMethod, call *Call) (any, error) {
			param, err := m.optionalString(call)
			if err != nil {
				return nil, err
			}
			return resultOf(fn(param))
		}
	case func(context.Context, *string) (string, error):
		return func(ctx context.Context, m *registeredMethod, call *Call) (any, error) {
			param, err := m.optionalString(call)
			if err != nil {
				return nil, err
			}
			return resultOf(fn(ctx, param))
		}
	}
	return nil
}

// optionalString reads the one parameter of a call, nil if there is none.
func (m *registeredMethod) optionalString(call *Call) (*string, error) {
	if call.NumParams() == 0 {
		return nil, nil
	}
	param := new(*string)
	if err := m.decode(call, 0, param); err != nil {
		return nil, err
	}
	return *param, nil
}

func resultOf(result string, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return result, nil
}
