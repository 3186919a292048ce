// Package xmlrpc is the wire of an XML-RPC gateway: values, decoder, encoder
// and faults, a registry of methods for gorilla/rpc with introspection and
// multicall, and a client. It needs nothing else of the project and is meant to
// be imported on its own by whoever has old clients to serve.
//
// # Reading
//
// [ParseCall] reads a methodCall and [ParseResponse] a methodResponse. Both have a
// reader of their own that checks in one pass that the document is well-formed
// XML 1.0, that it has the structure of XML-RPC, and that every value has its
// type. It reads what the clients in use send (28 of them were recorded) and is
// bounded in every direction by [Limits]. A [Decoder] reads documents one after
// the other from a stream. No DOCTYPE and no entity but the
// five of XML is ever read. Every refusal has a code of the fault code
// interoperability specification: see [DecodeError].
//
// Documents may be in UTF-8, UTF-16, ISO-8859-1, US-ASCII, windows-1251 and
// windows-1252, by byte order mark, by the charset of the Content-Type
// ([WithCharset]) or by declaration.
//
// Names of elements are compared as they are written: a prefix makes no
// methodCall of m:methodCall, and a default namespace changes nothing. Only the
// Apache extension types have a prefix, whichever it is.
//
// Values read into an any have these types:
//
//	int, i4, ex:i1, ex:i2              int; int64 past 32 bits
//	i8, ex:i8                          int64
//	boolean                            bool
//	double, ex:float                   float64
//	string, untyped                    string
//	dateTime.iso8601, ex:dateTime      DateTime
//	base64                             []byte
//	array                              []any
//	struct                             map[string]any; of two members with one name the last
//	nil, ex:nil                        nil
//	ex:biginteger                      *big.Int
//	ex:bigdecimal                      BigDecimal
//
// Values read into other types must fit them; the error says which value does
// not, as in params[0].bugs[3].id: i8 9999999999 does not fit int32. Beyond the
// evident pairs:
//
//   - a string takes every scalar as the text that was sent, since Perl's clients
//     type values by their looks ("042" arrives as an int), and base64 that is
//     UTF-8, since one of them sends letters past ASCII so;
//   - an integer takes a string that is a sign and digits, since that is how large
//     numbers are sent to receivers without i8; a float takes integers;
//   - a bool takes the ints 0 and 1; dates take strings in one of their layouts, and
//     a time.Time takes a date without a zone as UTC;
//   - structs and maps take an empty array, which PHP sends for an empty map;
//   - nil makes any destination zero.
//
// Strings share one copy of the document's text: whoever keeps a small part of
// a large answer for long should use [strings.Clone].
//
// # Writing
//
// [AppendCall], [AppendResponse] and [AppendFault] write whole documents in UTF-8,
// in the forms that the most clients read: every string typed, nothing
// self-closed, dates as 20261121T19:35:03 in UTC, doubles without an exponent,
// integers past 32 bits as strings. i8 and nil are written only to receivers
// whose [Features] have them. To all others a member without a value is left out,
// and an empty string stands for an element of an array, a param or a result
// without one. Structs are written in the order of their fields, maps sorted by name.
//
// No document is ever broken by what is inside it: characters that XML forbids are
// replaced by U+FFFD, or left out, or refused ([WithForbidden]).
//
// A nil slice or map is an empty one. A time.Time, or a [DateTime] with a zone, is
// written in UTC; fractions of seconds are not written.
//
// # Types of Go
//
// Fields of structs are members under the name of their tag, or their own:
//
//	ID    int    `xmlrpc:"id"`
//	Alias string `xmlrpc:"alias,omitempty"` // left out when it is zero or empty
//	Local string `xmlrpc:"-"`               // no member
//
// Embedded structs give their fields to the outer one. Types can read and write
// themselves by [Marshaler] and [Unmarshaler], or as strings by
// [encoding.TextMarshaler] and [encoding.TextUnmarshaler].
package xmlrpc
