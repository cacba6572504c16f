import CFuse
import VirtualFS

/// What every request of one mount needs. libfuse carries its address as user data; `ServedMount` keeps it in place.
///
/// A noncopyable struct in raw memory, not a class: a function that takes it `borrowing` uses the fields in place, so
/// that a request neither retains nor releases anything, which the threads would fight over.
struct FuseConnection: ~Copyable {
    typealias Pointer = UnsafePointer<FuseConnection>

    let fileSystem: any FileSystem
    let root: NodeID
    let handshake: InitHandshake
    let counters: FuseCounters
    let cold: ColdRequests
    let workers: WorkerPool
    let openFiles: OpenFiles
    let requestLimit: UInt32
    let rings = RequestRings()
    /// The FUSE device, open as long as requests are answered.
    let device: Int32

    init(
        fileSystem: any FileSystem, handshake: InitHandshake, counters: FuseCounters, openFiles: OpenFiles,
        requestLimit: UInt32, device: Int32
    ) {
        self.fileSystem = fileSystem
        self.handshake = handshake
        self.counters = counters
        self.openFiles = openFiles
        self.requestLimit = requestLimit
        self.device = device
        cold = ColdRequests()
        workers = WorkerPool(limit: 4)
        root = fileSystem.root
    }

    /// The kernel's root is always 1; every other node keeps its own number. So no other node may be numbered 1.
    func node(_ number: fuse_ino_t) -> NodeID {
        number == FUSE_ROOT_ID ? root : NodeID(rawValue: UInt64(number))
    }

    func number(_ node: NodeID) -> UInt64 { node == root ? UInt64(FUSE_ROOT_ID) : node.rawValue }

    static func of(_ request: fuse_req_t?) -> Pointer { of(userData: fuse_req_userdata(request)) }

    static func of(userData: UnsafeMutableRawPointer?) -> Pointer {
        Pointer(userData.unsafelyUnwrapped.assumingMemoryBound(to: FuseConnection.self))
    }
}
