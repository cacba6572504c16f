import LinuxIO
import OCI
import Synchronization

/// Open descriptors of the spans and objects that were read last, so that reading a tree of small files does not open
/// a file for each of them. A fixed number of slots, each with a lock of its own that is held during one pread: two
/// readers meet only when they read the same span.
final class DescriptorCache: Sendable {
    enum Key: Hashable, Sendable {
        case span(Digest, Int)
        case object(Digest)
    }

    private final class Slot: Sendable {
        struct State: ~Copyable {
            var key: Key?
            var file: OwnedDescriptor?
        }

        let state = Mutex(State())
    }

    private let slots: [Slot]

    init(slots: Int = 256) { self.slots = (0..<slots).map { _ in Slot() } }

    /// Lets go of the file `key` names, so that the next read opens what is there then.
    func forget(_ key: Key) {
        slot(key).state.withLock { state in
            guard state.key == key else { return }
            state.key = nil
            state.file = nil
        }
    }

    /// Lets go of every file that has no name any more, so that its space comes back.
    func forgetRemoved() {
        for slot in slots {
            slot.state.withLock { state in
                guard let links = try? state.file?.status().st_nlink, links == 0 else { return }
                state.key = nil
                state.file = nil
            }
        }
    }

    /// Lets go of everything.
    func forgetAll() {
        for slot in slots {
            slot.state.withLock { state in
                state.key = nil
                state.file = nil
            }
        }
    }

    private func slot(_ key: Key) -> Slot { slots[Int(UInt(bitPattern: key.hashValue) % UInt(slots.count))] }

    /// Reads from the file `key` names, opening it when needed; nil where it is absent.
    func read(
        _ key: Key, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer, open: () throws -> OwnedDescriptor?
    ) throws -> Int? {
        try slot(key).state.withLock { state throws in
            if state.key != key {
                guard let file = try open() else { return nil }
                state.file = consume file
                state.key = key
            }
            return try state.file?.read(into: buffer, at: offset)
        }
    }
}
