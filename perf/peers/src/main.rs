mod clock;
mod hiccup;
mod item;
mod machine;
mod peers;
mod queue;
mod summary;
mod units;
mod wait;
mod work;
fn main() {
}
