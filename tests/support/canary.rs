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
}

impl Canary {
    pub fn of(tenant: u16) -> Self {
        Self { tenant, leaves: tenant, is_async: false, pages: 4, probes: false }
    }

    /// The component.
    pub fn component(self) -> Vec<u8> {
        let is_async = if self.is_async {
            r#"(core module $async (func (export "f") (result i32) unreachable)
                (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
              (core instance $async (instantiate $async))
              (func $async async (canon lift (core func $async "f") async (callback (func $async "cb"))))"#
        } else {
            ""
        };
        // A few words in each page of the kernel, where there are many.
        let step = if self.pages > 100 { 64 * 16 } else { 64 };
        let mut end = wat_text("canary.wat.in");
        for (name, value) in [
            ("$MINE", (TOP | u64::from(self.tenant)).to_string()),
            ("$LEFT", (TOP | u64::from(self.leaves)).to_string()),
            ("$TOP", TOP.to_string()),
            ("$MASK", MASK.to_string()),
            ("$PAGES", self.pages.to_string()),
            ("$STEP", step.to_string()),
            ("$PROBE", u8::from(self.probes).to_string()),
            ("$ASYNC", is_async.to_owned()),
        ] {
            end = end.replace(name, &value);
        }
        let handmade = wat_text("handmade.wat");
        let (beginning, _) = handmade.split_once("(core module $memory").expect("its first module");
        let set = r#"(export "[static]response-outparam.set""#;
        let status = r#"(export "[method]outgoing-response.set-status-code" (func
          (param "self" (borrow $response)) (param "status-code" u16) (result (result))))"#;
        let beginning = beginning.replace(set, &format!("{status} {set}"));
        wat::parse_str(beginning + &end).unwrap_or_else(|error| panic!("{error}"))
    }
}
