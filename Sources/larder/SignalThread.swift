import Glibc
import LinuxIO

/// Signals, received on a thread of its own, where anything may be done about them. The handler itself only writes the
/// number into a pipe, which is all that a handler may do.
enum SignalThread {
    // Written once, before any handler is installed.
    nonisolated(unsafe) private static var pipeEnd: Int32 = -1

    static func start(_ numbers: [Int32], _ body: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        guard let (readEnd, writeEnd) = Pipe.make() else { throw SystemError("pipe") }
        pipeEnd = writeEnd
        try DedicatedThread.start("larder-signals") {
            var number: UInt8 = 0
            while true {
                let count = read(readEnd, &number, 1)
                if count == 1 { body(Int32(number)) } else if count == 0 || errno != EINTR { return }
            }
        }
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { signal in
            var number = UInt8(truncatingIfNeeded: signal)
            _ = write(SignalThread.pipeEnd, &number, 1)
        }
        action.sa_flags = SA_RESTART
        for number in numbers { sigaction(number, &action, nil) }
    }
}

/// A pipe whose ends no child inherits.
enum Pipe {
    static func make() -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }
}
