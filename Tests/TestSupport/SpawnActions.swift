import Glibc

extension posix_spawn_file_actions_t {
    /// Adds that the program gets no descriptor from `first` on. A server in the test's process that closes a connection must not find
    /// it kept open by a program that was started meanwhile: its client would wait for an end that does not come.
    public mutating func closeFrom(_ first: Int32) { precondition(addCloseFrom(&self, first) == 0) }
}

/// glibc's, which Swift cannot see without _GNU_SOURCE.
@_silgen_name("posix_spawn_file_actions_addclosefrom_np")
private func addCloseFrom(_ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ first: Int32) -> Int32
