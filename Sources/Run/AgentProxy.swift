import CLinux
import Glibc
import LinuxIO
import Synchronization

/// Serves a listening socket with the user's agent behind it, as far as `AgentProtocol` allows. One thread for each connection:
/// they are few, and they wait.
public final class AgentProxy: Sendable {
    /// Connections at one time; more are turned away.
    public static let connectionLimit = 64

    private let listener: Int32
    private let agentPath: String
    private let count = Atomic(0)

    /// - Parameter listener: bound and listening; stays the caller's, and must outlive `stop()`.
    public init(listener: Int32, agentPath: String) {
        self.listener = listener
        self.agentPath = agentPath
    }

    /// Serves until `stop()`.
    public func start() throws(SystemError) {
        try DedicatedThread.start("larder-agent") { [self] in
            while true {
                let connection = larder_accept(listener)
                if connection < 0 {
                    if errno == EINTR || errno == ECONNABORTED { continue }
                    return
                }
                serve(OwnedDescriptor(owning: connection))
            }
        }
    }

    public func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ connection: consuming OwnedDescriptor) {
        guard count.add(1, ordering: .relaxed).newValue <= Self.connectionLimit else {
            count.subtract(1, ordering: .relaxed)
            return
        }
        let raw = connection.release()
        do throws(SystemError) {
            try DedicatedThread.start("larder-agent") { [self] in
                defer { count.subtract(1, ordering: .relaxed) }
                Self.relay(OwnedDescriptor(owning: raw), agentPath)
            }
        } catch {
            close(raw)
            count.subtract(1, ordering: .relaxed)
        }
    }

    private static func relay(_ client: consuming OwnedDescriptor, _ agentPath: String) {
        guard let agent = try? UnixSocket.connect(to: agentPath) else { return }
        while let request = message(from: client) {
            if AgentProtocol.isAllowed(Array(request.dropFirst(4))) {
                guard (try? agent.write(request)) != nil, let answer = message(from: agent), (try? client.write(answer)) != nil else { return }
            } else {
                guard (try? client.write(AgentProtocol.refusal)) != nil else { return }
            }
        }
    }

    /// One message with its header; nil at the end, and for what is none.
    private static func message(from peer: borrowing OwnedDescriptor) -> [UInt8]? {
        guard let header = bytes(4, from: peer), let length = AgentProtocol.bodyLength(header), let body = bytes(length, from: peer) else { return nil }
        return header + body
    }

    private static func bytes(_ count: Int, from peer: borrowing OwnedDescriptor) -> [UInt8]? {
        guard let bytes = try? peer.readToEnd(limit: count), bytes.count == count else { return nil }
        return bytes
    }
}

/// Sockets that have a path.
enum UnixSocket {
    /// An address for a path; nil where that is too long (107 bytes).
    static func address(_ path: some Collection<UInt8>) -> sockaddr_un? {
        var address = sockaddr_un()
        guard !path.isEmpty, path.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        return address
    }

    static func make() throws(SystemError) -> OwnedDescriptor {
        let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemError("socket") }
        return OwnedDescriptor(owning: raw)
    }

    static func connect(to path: String) throws(SystemError) -> OwnedDescriptor {
        guard var address = address(Array(path.utf8)) else { throw SystemError("connect", path: path, code: ENAMETOOLONG) }
        let socket = try make()
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard code == 0 else { throw SystemError("connect", path: path) }
        return socket
    }
}
