import Glibc
import LinuxIO
import Synchronization

/// Telling whoever started the daemon that the mount can be used.
enum Readiness {
    /// The descriptor of the pipe to a waiting `larder mount`, by number.
    static let pipeVariable = "LARDER_READY_FD"

    /// A `larder mount` waits for this process.
    static var isAwaited: Bool { getenv(pipeVariable) != nil }

    private static let wasAnnounced = Atomic(false)

    /// Tells the one who waits why it takes long: the `larder mount` that waits for this process, or whoever reads its errors.
    static func say(_ text: String) {
        if let number { Terminal.write("note \(text)\n", to: number) }
        Terminal.error("larder: \(text)")
    }

    /// Calls `body` on a thread of its own when a waiting `larder mount` has ended before it was told that all is ready.
    static func watch(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        guard let number else { return }
        let own = fcntl(number, F_DUPFD_CLOEXEC, 0)
        guard own >= 0 else { throw SystemError("dup") }
        try DedicatedThread.start("larder-ready") {
            defer { close(own) }
            // The other end was closed: the kernel says so without being asked for any event.
            var wait = pollfd(fd: own, events: 0, revents: 0)
            while poll(&wait, 1, -1) < 0 && errno == EINTR {}
            if !wasAnnounced.load(ordering: .acquiring) { body() }
        }
    }

    private static var number: Int32? { getenv(pipeVariable).flatMap { Int32(String(cString: $0)) } }

    static func announce() {
        wasAnnounced.store(true, ordering: .releasing)
        if let number {
            Terminal.write("ready\n", to: number)
            close(number)
            unsetenv(pipeVariable)
        }
        notifySystemd("READY=1\n")
    }

    /// sd_notify(3): one datagram to the socket that NOTIFY_SOCKET names.
    private static func notifySystemd(_ message: String) {
        guard let value = getenv("NOTIFY_SOCKET") else { return }
        var path = Array(String(cString: value).utf8)
        var address = sockaddr_un()
        guard !path.isEmpty, path.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // A leading @ stands for the abstract namespace.
        if path[0] == UInt8(ascii: "@") { path[0] = 0 }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(socket, message, message.utf8.count, Int32(MSG_NOSIGNAL), $0, length) }
        }
    }
}
