;; A core module without imports, exports or a component type: there is no world to make a component of. It must never
;; be accepted.
(module)
