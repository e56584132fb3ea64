//! The names in the metrics are those in the table.

use super::*;
use crate::host::account::Accounts;

fn text(table: &Table) -> String {
    let mut text = Text::default();
    tenants(table, &mut text);
    functions(&table.now(), &table.rejected, &mut text);
    text.into_string()
}

#[test]
fn a_function_is_in_the_metrics_as_long_as_it_is_in_the_table() {
    let table = Table::new(Accounts::unlimited());
    let empty = text(&table);
    for n in 0..100 {
        let (tenant, function) = (format!("t{n}").parse().unwrap(), "f".parse().unwrap());
        table.put(&tenant, &function, Vec::new(), false);
        table.now().find(tenant.as_str(), "f").unwrap().shared.rejected.add("throttled", 1);
        let line = format!(
            "spawnpoint_requests_rejected_total{{tenant=\"t{n}\",function=\"f\",code=\"throttled\"}} 1"
        );
        assert!(text(&table).lines().any(|each| each == line), "{line} in {}", text(&table));
        if n % 2 == 0 {
            table.remove(&tenant, &function);
        } else {
            table.remove_tenant(&tenant);
        }
        assert_eq!(text(&table), empty);
    }
}

#[test]
fn what_reached_no_function_has_no_name() {
    let table = Table::new(Accounts::unlimited());
    table.rejected.add("no_route", 1);
    table.rejected.add("no code of ours", 1);
    let text = text(&table);
    let counted: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(counted, [r#"spawnpoint_requests_rejected_total{code="no_route"} 1"#]);
}
