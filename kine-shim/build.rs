//! The C library is part of the program, see there.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    linking::c_library_inside()
}
