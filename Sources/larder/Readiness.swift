import Glibc

/// Telling whoever started the daemon that the mount can be used.
enum Readiness {
    /// The descriptor of the pipe to a waiting `larder mount`, by number.
    static let pipeVariable = "LARDER_READY_FD"

    /// A `larder mount` waits for this process.
    static var isAwaited: Bool { getenv(pipeVariable) != nil }

    static func announce() {
        if let number = getenv(pipeVariable).flatMap({ Int32(String(cString: $0)) }) {
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
