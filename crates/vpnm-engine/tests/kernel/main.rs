//! The shell and the stack on a TUN device of the real kernel.

#[cfg(test)]
mod conduct;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod datagrams;
#[cfg(test)]
mod direct;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod forwarded;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod pings;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod socks;
#[cfg(test)]
mod untaken;
#[cfg(test)]
mod world;
