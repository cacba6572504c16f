import CLinux
import Glibc
import LinuxIO

/// A program that serves a command while it runs, such as an ssh-agent. Gets SIGTERM at `stop()`, and when this process dies.
public final class HelperProcess: Sendable {
    public let pid: pid_t
    private let ended: Monitor<Bool>

    /// - Parameters:
    ///   - arguments: the program first; it is looked for in PATH where it has no slash.
    ///   - keeping: descriptors for it, which get the numbers from 3 on.
    ///   - quiet: whether what it prints goes nowhere.
    public init(_ arguments: [String], environment: EnvironmentBlock, keeping: [Int32] = [], quiet: Bool = false) throws(RunError) {
        var program = ChildProgram(
            name: arguments[0], candidates: environment.candidates(for: Array(arguments[0].utf8)), arguments: arguments.map { Array($0.utf8) },
            environment: environment.entries)
        program.steps.purpose = "cannot start \(arguments[0])"
        program.steps.add(larder_call_prctl, .number(larder_pr_set_pdeathsig), .number(Int(SIGTERM)))
        let null = try program.steps.slot()
        program.steps.add(larder_call_open, StepProgram.here, .text("/dev/null"), .number(Int(O_RDWR | O_CLOEXEC)), .number(0), into: null)
        for number in 0..<(quiet ? 3 : 1) { program.steps.add(larder_call_dup3, .slot(null), .number(number), .number(0)) }
        // A session of its own: it neither asks at the terminal nor gets its Ctrl-C.
        program.steps.add(larder_call_setsid)
        var kept: [Slot] = []
        for descriptor in keeping {
            let slot = try program.steps.slot()
            program.steps.add(larder_call_fcntl, .number(Int(descriptor)), .number(Int(F_DUPFD)), .number(64), into: slot)
            kept.append(slot)
        }
        for (index, slot) in kept.enumerated() { program.steps.add(larder_call_dup3, .slot(slot), .number(3 + index), .number(0)) }
        program.steps.add(larder_call_close_range, .number(3 + keeping.count), .number(Int(UInt32.max)), .number(larder_close_range_cloexec))

        let state = Monitor<Result<pid_t, RunError>?>(nil)
        let ended = Monitor(false)
        let start = program
        _ = try RunError.catching("cannot start \(arguments[0])") { () throws(SystemError) in
            // The signal comes when the thread dies that started it; so that thread waits for its end.
            try DedicatedThread.start("larder-helper") {
                let result = Result { () throws(RunError) in try start.launch() }
                state.update { $0 = result }
                if case .success(let pid) = result { while waitpid(pid, nil, 0) < 0 && errno == EINTR {} }
                ended.update { $0 = true }
            }
        }
        pid = try state.wait { $0 }.get()
        self.ended = ended
    }

    /// Asks it to end, and waits for that.
    public func stop() {
        if !ended.read({ $0 }) { kill(pid, SIGTERM) }
        _ = ended.wait { $0 ? true : nil }
    }
}
