//! The lab: leak scenarios, observer and real peers in network namespaces.
