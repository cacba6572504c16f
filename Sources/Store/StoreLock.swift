import LinuxIO

/// Runs `body` while no other process runs one under the same lock. For a few reads and writes; longer work takes a
/// `StoreLease`.
func withLock<Value>(_ name: String, in root: Directory, _ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
    let lock = try inStore(root) { () throws(SystemError) in try FileLock(waitingFor: name, in: root, .exclusive) }
    let value = try body()
    _ = consume lock
    return value
}
