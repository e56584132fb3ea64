//! Guests that look for what others left: one for each tenant, engine and habit, made from one text.
//! Must never put a whole word of any tenant where the guest itself would find it: only code holds them.

use super::guests::wat_text;

/// What all words have in common, and where.
const TOP: u64 = 0x5ec2_e7a1_0dd5_0000;
const MASK: u64 = 0xffff_ffff_ffff_0000;

/// One guest.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    /// Its word ends in this; 1 to 65,535.
    pub tenant: u16,
    /// The word that it leaves ends in this: the tenant, unless it is to be caught.
    pub leaves: u16,
    /// Whether it needs the engine for 0.3.
    pub is_async: bool,
    /// Pages it grows its first memory by.
    pub pages: u32,
    /// Whether it uses a handle that an instance before it had, and so must trap.
    pub probes: bool,
    /// Whether all of its code is one module, so that it is lowered.
    pub is_one: bool,
}

impl Canary {
    pub fn of(tenant: u16) -> Self {
        Self { tenant, leaves: tenant, is_async: false, pages: 4, probes: false, is_one: false }
    }

    /// The component.
    pub fn component(self) -> Vec<u8> {
        let is_async = match (self.is_async, self.is_one) {
            (false, _) => "",
            (true, false) => {
                r#"(core module $async (func (export "f") (result i32) unreachable)
                (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
              (core instance $async (instantiate $async))
              (func $async async (canon lift (core func $async "f") async (callback (func $async "cb"))))"#
            }
            (true, true) => ASYNC_TYPE,
        };
        // A few words in each page of the kernel, where there are many.
        let step = if self.pages > 100 { 64 * 16 } else { 64 };
        let mut end = wat_text("canary.wat.in");
        if self.is_one {
            end = in_one(&end);
        }
        let own = [
            ("$PAGES", self.pages.to_string()),
            ("$STEP", step.to_string()),
            ("$PROBE", u8::from(self.probes).to_string()),
            ("$ASYNC", is_async.to_owned()),
        ];
        let words = words(self.tenant, self.leaves);
        assembled(REQUEST, end, words.iter().chain(&own))
    }
}

/// A guest whose instances can be put back.
#[derive(Clone, Copy, Debug)]
pub struct PutBack {
    /// Its word ends in this; 1 to 65,535.
    pub tenant: u16,
    /// The word that it leaves ends in this: the tenant, unless it is to be caught.
    pub leaves: u16,
    /// Whether it needs the engine for 0.3.
    pub is_async: bool,
    /// Whether it writes to some of its pages only.
    pub is_sparse: bool,
    /// Whether it keeps its handles, and so is not put back.
    pub keeps: bool,
}

impl PutBack {
    pub fn of(tenant: u16) -> Self {
        Self { tenant, leaves: tenant, is_async: false, is_sparse: false, keeps: false }
    }

    /// The component.
    pub fn component(self) -> Vec<u8> {
        let own = [
            // One page of the kernel in three, or all.
            ("$STEP", if self.is_sparse { 3 * 4_096 + 8 } else { 64 }.to_string()),
            ("$KEEP", u8::from(self.keeps).to_string()),
            ("$ASYNC", if self.is_async { ASYNC_TYPE } else { "" }.to_owned()),
        ];
        let words = words(self.tenant, self.leaves);
        let end = wat_text("canary_put_back.wat.in");
        assembled(METHOD, end, words.iter().chain(&own))
    }
}

/// A type that nothing uses, and that only the engine for 0.3 knows: what has it can be lowered.
const ASYNC_TYPE: &str = "(type (stream u8))";
const REQUEST: &str = r#"(export "incoming-request" (type (sub resource)))"#;
const METHOD: &str = r#"(export "incoming-request" (type $incoming (sub resource)))
  (type $methods (variant (case "get") (case "head") (case "post") (case "put") (case "delete") (case "connect")
    (case "options") (case "trace") (case "patch") (case "other" string)))
  (export "method" (type $method-type (eq $methods)))
  (export "[method]incoming-request.method" (func (param "self" (borrow $incoming)) (result $method-type)))"#;
const SET: &str = r#"(export "[static]response-outparam.set""#;
const STATUS: &str = r#"(export "[method]outgoing-response.set-status-code" (func
  (param "self" (borrow $response)) (param "status-code" u16) (result (result))))"#;

/// What the texts know of words.
fn words(tenant: u16, leaves: u16) -> [(&'static str, String); 4] {
    [
        ("$MINE", (TOP | u64::from(tenant)).to_string()),
        ("$LEFT", (TOP | u64::from(leaves)).to_string()),
        ("$TOP", TOP.to_string()),
        ("$MASK", MASK.to_string()),
    ]
}

/// The beginning of `handmade.wat`, with this in the place of what it says of a request, and this end, filled in.
fn assembled<'a>(
    request: &str,
    mut end: String,
    values: impl Iterator<Item = &'a (&'a str, String)>,
) -> Vec<u8> {
    for (name, value) in values {
        end = end.replace(name, value);
    }
    let handmade = wat_text("handmade.wat");
    let (beginning, _) = handmade.split_once("(core module $memory").expect("its first module");
    let beginning = beginning.replace(REQUEST, request).replace(SET, &format!("{STATUS} {SET}"));
    wat::parse_str(beginning + &end).unwrap_or_else(|error| panic!("{error}"))
}

/// What fills the slot of a shim, as tools write it: the host's function needs the memory of a module that needs the
/// function.
const SHIM: &str = r#"
  (core module $shim
    (type $nine (func (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (table (export "$imports") 1 1 funcref)
    (func (export "0") (type $nine)
      local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7 local.get 8
      i32.const 0 call_indirect (type $nine)))
  (core module $filler
    (import "" "0" (func (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "" "$imports" (table 1 1 funcref))
    (elem (i32.const 0) func 0))
  (core instance $shimmed (instantiate $shim))
"#;

/// The same guest with its two modules made one.
fn in_one(text: &str) -> String {
    let part = |from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no `{from}`"));
        rest.split_once(to).unwrap_or_else(|| panic!("no `{to}`")).0.to_owned()
    };
    let probe =
        part("(core module $probe", "(core instance $one").trim_end().strip_suffix(')').unwrap().to_owned();
    let lowered = part("(core instance $one (instantiate $probe))", "(core module $m");
    let module = part("(core module $m", "(core instance $i (instantiate $m");
    let (imports, handle) = module.split_once("(import \"one\"").expect("what it imports");
    let (_, handle) = handle.split_once('\n').expect("its handler");
    let rest = part("(export \"set\" (func $set))))))", "$ASYNC");
    let set = r#"(core func $set (canon lower (func $types "[static]response-outparam.set") (memory $one "memory")))"#;
    assert!(lowered.contains(set));
    let lowered = lowered.replace(set, "");
    let probe = probe.replace("(func (export \"run\")", "(func $one");
    format!(
        r#"{SHIM} {lowered} (core module $probe {imports} {probe} {handle}
        (core instance $i (instantiate $probe (with "http" (instance
          (export "fields" (func $fields))
          (export "drop" (func $drop))
          (export "response" (func $response))
          (export "status" (func $status))
          (export "set" (func $shimmed "0"))))))
        (alias core export $i "memory" (core memory $memory))
        (core func $set (canon lower (func $types "[static]response-outparam.set") (memory $memory)))
        (core instance (instantiate $filler (with "" (instance
          (export "0" (func $set)) (export "$imports" (table $shimmed "$imports"))))))
        {rest} $ASYNC
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}
