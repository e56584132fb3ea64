;; Copies half of its memory, 8 MiB, onto the other half in one instruction, again and again: as memory_fill, with both
;; halves read and written. It must never answer.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $m
    (memory 256)
    (func (export "handle") (param i32 i32)
      (loop $again
        (memory.copy (i32.const 8388608) (i32.const 0) (i32.const 8388608))
        (memory.copy (i32.const 0) (i32.const 8388608) (i32.const 8388608))
        (br $again))))
  (core instance $i (instantiate $m))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
