import Glibc
import LinuxIO

/// TCP ports of 127.0.0.1.
public enum LoopbackPort {
    /// A port that was free a moment ago.
    public static func free() throws(SystemError) -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw SystemError("socket") }
        defer { close(socket) }
        var address = address(of: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0 }
        }
        guard bound else { throw SystemError("bind") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// Whether somebody listens.
    public static func answers(_ port: Int) -> Bool {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var address = address(of: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
        }
    }

    /// Returns once `process` listens; throws if it ends before, or does not in half a minute.
    public static func wait(for port: Int, of process: ChildProcess) async throws {
        for _ in 0..<1500 {
            if answers(port) { return }
            guard process.isRunning else { throw Shell.Failed(description: "it ended: \(process.log.suffix(2000))") }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Shell.Failed(description: "it does not listen on \(port): \(process.log.suffix(2000))")
    }

    private static func address(of port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }
}
