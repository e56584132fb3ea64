;; Gives back a resource of its own whose destructor loops for ever. It must never answer.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $destroyer
    (func (export "destroy") (param i32) (loop $again (br $again))))
  (core instance $destroyer (instantiate $destroyer))
  (type $resource (resource (rep i32) (dtor (func $destroyer "destroy"))))
  (core func $new (canon resource.new $resource))
  (core func $drop (canon resource.drop $resource))
  (core module $m
    (import "own" "new" (func $new (param i32) (result i32)))
    (import "own" "drop" (func $drop (param i32)))
    (func (export "handle") (param i32 i32)
      (call $drop (call $new (i32.const 1)))))
  (core instance $i (instantiate $m (with "own" (instance
    (export "new" (func $new))
    (export "drop" (func $drop))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
