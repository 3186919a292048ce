(* Calls a gateway with XmlRpc-Light, whose URL is the argument. *)

let client = new XmlRpc.client Sys.argv.(1)

let report parts =
  let escape s = String.concat "\\n" (String.split_on_char '\n' s) in
  print_endline (String.concat "\t" (List.map escape parts))

let dump value =
  let text = XmlRpc.dump value in
  String.sub text 0 (min 200 (String.length text))

let samples : (string * XmlRpc.value list) list = [
  "int", [`Int (-2147483648)]; "i8", [`Int 9007199254740993];
  "boolean_true", [`Boolean true]; "boolean_false", [`Boolean false];
  "double", [`Double (-2.5)]; "double_exact", [`Double (0.1 +. 0.2)]; "double_small", [`Double 1e-7];
  "string", [`String "plain"]; "string_empty", [`String ""]; "string_markup", [`String "<&>\"']]>"];
  "string_accents", [`String "Žluťoučký café 日本"]; "string_emoji", [`String "🙂"];
  "string_blanks", [`String "  a  b "]; "string_lines", [`String "a\nb\tc"]; "string_cr", [`String "a\r\nb"];
  "string_digits", [`String "042"]; "string_long", [`String (String.make 300000 'x')];
  "datetime", [`DateTime (2026, 11, 21, 19, 35, 3, 0)]; "base64", [`Binary (String.init 256 Char.chr)];
  "array", [`Array [`Int 1; `String "two"; `Boolean true]]; "array_empty", [`Array []];
  "array_nested", [`Array [`Array [`Int 1; `Array [`Int 2; `Array []]]; `Array [`Struct ["a", `Array [`Int 3]]]]];
  "struct", [`Struct ["id", `Int 7; "title", `String "x"]]; "struct_empty", [`Struct []];
  "struct_nested", [`Struct ["a", `Struct ["b", `Struct ["c", `Array [`Int 1; `Int 2]]]]];
  "struct_odd", [`Struct ["<k & é>", `Int 1; "with space", `Int 2]];
  "nil", [`Nil]; "params", [`Int 1; `String "two"; `Double 3.5]; "no_params", [];
]

let strings = function
  | `Array values -> List.map (function `String s -> s | value -> dump value) values
  | value -> [dump value]

let () =
  List.iter (fun (check, sent) ->
    try
      let got = client#call "bridge.echo" sent in
      report [check; if got = `Array sent then "ok" else "got " ^ dump got]
    with
    | XmlRpc.Error (code, text) -> report [check; Printf.sprintf "fault %d %s" code text]
    | error -> report [check; "error " ^ Printexc.to_string error]) samples;
  List.iter (fun (check, name, params) ->
    try report [check; dump (client#call name params)]
    with XmlRpc.Error (code, text) -> report [check; string_of_int code; text])
    ["fault", "trackers.getLink", [`String "nowhere"; `String "1"]; "unknown", "no.such.method", []];
  report ("token" :: strings (`Array [client#call "bugs.newBugTrackerToken" []]));
  report ("methods" :: strings (client#call "system.listMethods" []))
