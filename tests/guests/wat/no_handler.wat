;; A component that exports a function but no handler of HTTP. It must never be accepted as a function of the platform.
(component
  (core module $m (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
