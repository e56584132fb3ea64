;; Grows 24 tables, as many as a component may have, in turns until the host refuses each of them, and then traps. It must
;; never answer.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $tables
    (table $a 1 funcref)
    (table $b 1 funcref)
    (table $c 1 funcref)
    (table $d 1 funcref)
    ;; Whether one of them grew.
    (func (export "grow") (result i32)
      (i32.or
        (i32.or
          (i32.ne (table.grow $a (ref.null func) (i32.const 1000)) (i32.const -1))
          (i32.ne (table.grow $b (ref.null func) (i32.const 1000)) (i32.const -1)))
        (i32.or
          (i32.ne (table.grow $c (ref.null func) (i32.const 1000)) (i32.const -1))
          (i32.ne (table.grow $d (ref.null func) (i32.const 1000)) (i32.const -1))))))
  (core instance $a (instantiate $tables))
  (core instance $b (instantiate $tables))
  (core instance $c (instantiate $tables))
  (core instance $d (instantiate $tables))
  (core instance $e (instantiate $tables))
  (core instance $f (instantiate $tables))
  (core module $m
    (import "a" "grow" (func $a (result i32)))
    (import "b" "grow" (func $b (result i32)))
    (import "c" "grow" (func $c (result i32)))
    (import "d" "grow" (func $d (result i32)))
    (import "e" "grow" (func $e (result i32)))
    (import "f" "grow" (func $f (result i32)))
    (func (export "handle") (param i32 i32)
      (loop $more
        (br_if $more
          (i32.or (i32.or (i32.or (i32.or (i32.or (call $a) (call $b)) (call $c)) (call $d)) (call $e)) (call $f))))
      unreachable))
  (core instance $i (instantiate $m
    (with "a" (instance $a)) (with "b" (instance $b)) (with "c" (instance $c)) (with "d" (instance $d)) (with "e" (instance $e)) (with "f" (instance $f))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
