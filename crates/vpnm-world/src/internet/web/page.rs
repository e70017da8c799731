//! What the site answers. Pure.

use std::net::SocketAddr;

/// An answer of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// A text.
    Text(String),
    /// So many zeros.
    Zeros(u64),
    /// The number of bytes that are about to be uploaded.
    Upload,
    /// There is no such page.
    NotFound,
}

/// The page for a request by `visitor`, made by `protocol`.
pub(super) fn of(method: &str, path: &str, visitor: SocketAddr, protocol: &str) -> Page {
    match (method, path) {
        ("POST" | "PUT", "/upload") => Page::Upload,
        ("GET" | "HEAD", "/address") => Page::Text(format!("{}\n", visitor.ip())),
        ("GET" | "HEAD", "/") => Page::Text(format!(
            "Hello.\nYou came from {} port {} by {protocol}.\n",
            visitor.ip(),
            visitor.port()
        )),
        ("GET", path) => path
            .strip_prefix("/bytes/")
            .and_then(|count| count.parse().ok())
            .map_or(Page::NotFound, Page::Zeros),
        _ => Page::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let visitor = SocketAddr::from(([192, 0, 2, 1], 4000));
        let page = |method, path| of(method, path, visitor, "HTTP/1.1");
        assert_eq!(
            page("GET", "/address"),
            Page::Text("192.0.2.1\n".to_owned())
        );
        assert_eq!(page("GET", "/bytes/12"), Page::Zeros(12));
        assert_eq!(page("GET", "/bytes/x"), Page::NotFound);
        assert_eq!(page("PUT", "/upload"), Page::Upload);
        assert_eq!(page("DELETE", "/"), Page::NotFound);
    }
}
