//! A price calculator as a small JSON API: it parses an order, validates it and answers with its total. It must never
//! keep anything: an instance lives for one request, and what has to last belongs into a store.

use serde::{Deserialize, Serialize};
use spawnpoint_sdk::http::header::{ALLOW, HeaderValue};
use spawnpoint_sdk::http::{Method, StatusCode};
use spawnpoint_sdk::{Error, Json, OrStatus, Request, Response};

const PRODUCTS: [Product; 3] = [
    Product { id: "anvil", cents: 4_999 },
    Product { id: "rocket", cents: 129_900 },
    Product { id: "seeds", cents: 150 },
];

/// The largest order that is taken, in bytes of JSON and in pieces of one product.
const MAX_ORDER_BYTES: usize = 16 * 1024;
const MAX_PIECES: u32 = 1_000;

#[derive(Serialize)]
struct Product {
    id: &'static str,
    cents: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    product: String,
    pieces: u32,
}

#[derive(Serialize)]
struct Total {
    pieces: u64,
    cents: u64,
}

fn api(request: Request) -> Result<Response, Error> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/products") => Json(&PRODUCTS).with_status(StatusCode::OK),
        (&Method::POST, "/orders") => {
            let order = request.into_body().json(MAX_ORDER_BYTES)?;
            Json(total(&order)?).with_status(StatusCode::CREATED)
        }
        (_, "/orders") => not_allowed("POST"),
        (_, "/products") => not_allowed("GET"),
        (&Method::GET, path) => {
            let id = path.strip_prefix("/products/");
            let id = id.or_status(StatusCode::NOT_FOUND, "there is nothing at this path")?;
            Json(product(id)?).with_status(StatusCode::OK)
        }
        _ => Err(Error::new(StatusCode::NOT_FOUND, "there is nothing at this path")),
    }
}

fn product(id: &str) -> Result<&'static Product, Error> {
    let found = PRODUCTS.iter().find(|product| product.id == id);
    found.or_status(StatusCode::NOT_FOUND, format!("there is no product `{id}`"))
}

fn total(order: &Order) -> Result<Total, Error> {
    let refuse = |why: String| Err(Error::new(StatusCode::BAD_REQUEST, why));
    if order.items.is_empty() {
        return refuse("an order has at least one item".into());
    }
    let mut total = Total { pieces: 0, cents: 0 };
    for item in &order.items {
        if !(1..=MAX_PIECES).contains(&item.pieces) {
            return refuse(format!("`pieces` is 1 to {MAX_PIECES}, not {}", item.pieces));
        }
        let pieces = u64::from(item.pieces);
        total.pieces += pieces;
        total.cents += pieces * product(&item.product)?.cents;
    }
    Ok(total)
}

fn not_allowed(method: &'static str) -> Result<Response, Error> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().try_insert(ALLOW, HeaderValue::from_static(method))?;
    Ok(response)
}

spawnpoint_sdk::handler!(api);
