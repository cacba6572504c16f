import Synchronization

/// What an open file holds on to, by handle. Handles are never 0 and never used twice.
final class HandleTable<Value: Sendable>: Sendable {
    private struct State {
        var values: [UInt64: Value] = [:]
        var next: UInt64 = 1
    }

    private let state = Mutex(State())

    func insert(_ value: Value) -> UInt64 {
        state.withLock { state in
            defer { state.next += 1 }
            state.values[state.next] = value
            return state.next
        }
    }

    func remove(_ handle: UInt64) {
        // The value ends outside the lock.
        _ = state.withLock { $0.values.removeValue(forKey: handle) }
    }

    subscript(_ handle: UInt64) -> Value? { state.withLock { $0.values[handle] } }
}
