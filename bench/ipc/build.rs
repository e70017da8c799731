//! Writes the gRPC service's server and client, as `protoc` would have them.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let method = |name: &str, route: &str, request: &str, reply: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::frameworks::tonic::{request}"))
            .output_type(format!("crate::frameworks::tonic::{reply}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .package("org.example")
        .name("Bench")
        .method(method("echo", "Echo", "Echoed", "Echoed").build())
        .method(
            method("ticks", "Ticks", "Count", "Tick")
                .server_streaming()
                .build(),
        )
        .build();
    Builder::new().compile(&[service]);
}
