import Glibc
import LinuxIO
import Synchronization

/// TCP ports of 127.0.0.1.
public enum LoopbackPort {
    /// Below what the kernel gives to servers and connections that ask for no port (from 32768 on): nobody gets one by chance.
    private static let ports = 12_000..<32_000
    private static let next = Atomic<Int>(Int.random(in: ports))

    /// A port that was free a moment ago and that no other test of this process is given.
    public static func free() throws(SystemError) -> Int {
        for _ in ports {
            let port = ports.lowerBound + next.wrappingAdd(1, ordering: .relaxed).newValue % ports.count
            // Closed on exec: a program that starts now must not hold the port for as long as it runs.
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard socket >= 0 else { throw SystemError("socket") }
            defer { close(socket) }
            var address = address(of: port)
            let isFree = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
            }
            if isFree { return port }
        }
        throw SystemError("bind")
    }

    /// Whether somebody listens.
    public static func answers(_ port: Int) -> Bool {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var address = address(of: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
        }
    }

    /// Returns once `process` listens; throws if it ends before, or does not in five minutes.
    public static func wait(for port: Int, of process: ChildProcess) async throws {
        for _ in 0..<15_000 {
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
