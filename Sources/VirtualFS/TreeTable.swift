import Glibc
import Synchronization

/// Serial -> mounted tree, read without a lock on every operation. A row is written once and never cleared, so a reader
/// needs no more than one atomic load.
final class TreeTable: @unchecked Sendable {
    /// Serials below this can be mounted; the memory is only reserved, and touched where a serial is used.
    private static let capacity = 1 << 22

    private let rows: UnsafeMutablePointer<Atomic<UInt>>
    private let trees = Mutex<[UInt32: MountedTree]>([:])

    init() {
        let bytes = Self.capacity * MemoryLayout<Atomic<UInt>>.stride
        guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), memory != MAP_FAILED else {
            fatalError("cannot reserve \(bytes) bytes of address space")
        }
        // Fresh pages are zero, which is what an atomic of 0 is.
        rows = memory.bindMemory(to: Atomic<UInt>.self, capacity: Self.capacity)
    }

    deinit { munmap(rows, Self.capacity * MemoryLayout<Atomic<UInt>>.stride) }

    /// Valid for as long as the table: `trees` holds every row's object.
    @inline(__always)
    subscript(_ serial: UInt32) -> MountedTree? {
        guard serial < Self.capacity else { return nil }
        let bits = rows[Int(serial)].load(ordering: .acquiring)
        guard bits != 0, let raw = UnsafeRawPointer(bitPattern: bits) else { return nil }
        return Unmanaged<MountedTree>.fromOpaque(raw).takeUnretainedValue()
    }

    /// The tree with this serial, made by `make` if there is none yet.
    func tree(_ serial: UInt32, make: () -> MountedTree) throws(FSError) -> MountedTree {
        guard serial < Self.capacity else { throw .noSpace }
        return trees.withLock { trees in
            if let tree = trees[serial] { return tree }
            let tree = make()
            trees[serial] = tree
            rows[Int(serial)].store(UInt(bitPattern: Unmanaged.passUnretained(tree).toOpaque()), ordering: .releasing)
            return tree
        }
    }
}
