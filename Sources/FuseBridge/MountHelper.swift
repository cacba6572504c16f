import CLinux
import Glibc
import LinuxIO

/// `fusermount3`, the set-uid program that mounts for users: it opens the device and sends it over a socket whose
/// number is in _FUSE_COMMFD.
enum MountHelper {
    private static let program = "fusermount3"
    /// What the helper may say at most, in bytes.
    private static let messageLimit = 4096

    static func mount(_ options: String, on path: String) throws(MountError) -> OwnedDescriptor {
        let sockets = try SocketPair()
        let message = try run(["-o", options, "--", path], path: path, socket: sockets.theirs.raw)
        // With our copy of the helper's end open, a helper that sent nothing would leave us waiting.
        let ours = sockets.closingTheirs()
        let device = larder_receive_descriptor(ours.raw)
        guard device >= 0 else { throw .helper(path: path, message: message.isEmpty ? "it sent no device" : message) }
        return OwnedDescriptor(owning: device)
    }

    static func unmount(_ path: String, lazily: Bool) throws(MountError) {
        _ = try run(lazily ? ["-u", "-z", "--", path] : ["-u", "--", path], path: path, socket: nil)
    }

    /// Runs the helper to its end. Returns what it wrote to its standard error; throws that where it failed.
    private static func run(_ arguments: [String], path: String, socket: Int32?) throws(MountError) -> String {
        let output = try SocketPair()
        let process = try spawn(arguments, path: path, standardError: output.theirs, socket: socket)
        let message = readAll(output.ours)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        guard status == 0 else { throw .helper(path: path, message: message.isEmpty ? "status \(status)" : message) }
        return message
    }

    /// `standardError` is closed here on return: the child has the only other end then.
    private static func spawn(
        _ arguments: [String], path: String, standardError: consuming OwnedDescriptor, socket: Int32?
    ) throws(MountError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, standardError.raw, STDERR_FILENO)

        var environment = inheritedEnvironment
        if let socket {
            // dup2 of a descriptor onto itself makes glibc drop its close-on-exec flag in the child.
            posix_spawn_file_actions_adddup2(&actions, socket, socket)
            environment.append("_FUSE_COMMFD=\(socket)")
        }
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { for string in argv + envp { free(string) } }

        var process = pid_t()
        let code = posix_spawnp(&process, program, &actions, nil, &argv, &envp)
        guard code == 0 else { throw .helper(path: path, message: "\(SystemError("spawn", path: program, code: code))") }
        return process
    }

    private static var inheritedEnvironment: [String] {
        var strings: [String] = []
        var next = environ
        while let string = next.pointee {
            strings.append(String(cString: string))
            next += 1
        }
        return strings.filter { !$0.hasPrefix("_FUSE_COMMFD=") }
    }

    private static func readAll(_ descriptor: borrowing OwnedDescriptor) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: messageLimit)
        while true {
            let count = Glibc.read(descriptor.raw, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            bytes += chunk[..<min(count, messageLimit - bytes.count)]
        }
        while bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Two connected sockets: one stays with us, one goes to a child. (A pipe cannot be made close-on-exec from Swift.)
private struct SocketPair: ~Copyable {
    let ours: OwnedDescriptor
    let theirs: OwnedDescriptor

    init() throws(MountError) {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw .session("\(SystemError("socketpair"))") }
        ours = OwnedDescriptor(owning: ends[0])
        theirs = OwnedDescriptor(owning: ends[1])
    }

    consuming func closingTheirs() -> OwnedDescriptor { ours }
}
