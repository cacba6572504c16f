import CLinux
import Glibc
import LinuxIO

/// How a command ended.
public enum Outcome: Sendable, Equatable {
    case exited(Int32)
    case signalled(Int32)

    /// Whether it had the chance to finish what it was writing: it ended by itself, or by a signal that asks.
    public var isOrderly: Bool {
        switch self {
        case .exited: true
        case .signalled(let number): [SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM].contains(number)
        }
    }
}

/// Stands beside a command while it runs: passes signals on, stops and goes on with it, and ends what it leaves behind.
///
/// The command stays in this process's group, so that a terminal's Ctrl-C and Ctrl-Z reach both, and a shell sees one job.
struct Supervisor: Sendable {
    /// Other children of this process, which are none of the command's.
    var others: Set<pid_t> = []
    /// Whether this process is there for the command alone: then signals to it are the command's, and so is every further child.
    var ownsProcess = true
    /// How long what the command leaves behind has between SIGTERM and SIGKILL.
    var grace: Duration = .seconds(5)
    var onMessage: @Sendable (String) -> Void = { _ in }

    struct Ending: Sendable {
        var outcome: Outcome
        /// Whether everything that was started has ended, none of it by force.
        var isClean: Bool
    }

    /// Runs the program to its end. Blocks: for a thread of its own, which must live as long as the program.
    /// - Parameter onStart: called when the program runs.
    func run(_ program: ChildProgram, onStart: () -> Void = {}) throws(RunError) -> Ending {
        if ownsProcess {
            larder_adopt_orphans(1)
            SignalForwarding.start(ignored: program.ignoredSignals)
        }
        let pid: pid_t
        do throws(RunError) {
            pid = try program.launch { larder_forward_target($0) }
        } catch {
            larder_forward_target(0)
            throw error
        }
        onStart()
        let outcome = wait(for: pid)
        let isAlone = ownsProcess ? endStragglers() : true
        return Ending(outcome: outcome, isClean: outcome.isOrderly && isAlone)
    }

    private func wait(for pid: pid_t) -> Outcome {
        while true {
            var event: Int32 = 0
            let child = larder_wait_event(ownsProcess ? 0 : pid, &event)
            guard child > 0 else { return .exited(125) }
            var status: Int32 = 0
            if event == larder_event_stopped {
                waitpid(child, &status, WUNTRACED | WNOHANG)
                if child == pid { stopAlong(pid) }
                continue
            }
            // Its number is taken until it is reaped; after that it may be a stranger's.
            if child == pid { larder_forward_target(0) }
            waitpid(child, &status, 0)
            if child == pid { return status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signalled(status & 0x7f) }
        }
    }

    /// The command was stopped (Ctrl-Z): so is this process, for the shell to see, and both go on together.
    private func stopAlong(_ pid: pid_t) {
        kill(getpid(), SIGSTOP)
        kill(pid, SIGCONT)
    }

    /// Ends what was left running; false where force was needed. Nothing of it may still write into a cache that is given back.
    private func endStragglers() -> Bool {
        let clock = ContinuousClock()
        let deadline = clock.now + grace
        var asked: Set<pid_t> = []
        var isForced = false
        while true {
            let children = Self.children(of: getpid()).filter { !others.contains($0) }
            if children.isEmpty { return !isForced }
            if clock.now >= deadline + .seconds(10) {
                onMessage("process \(children[0]), which the command left behind, cannot be killed; its caches stay held while it lives")
                return false
            }
            let isLate = clock.now >= deadline
            if isLate && !isForced {
                isForced = true
                onMessage("\(children.count == 1 ? "a process" : "\(children.count) processes") that the command left behind did not end when asked, and is killed")
            }
            for child in children where isLate || asked.insert(child).inserted {
                if kill(child, isLate ? SIGKILL : SIGTERM) != 0 && errno == EPERM {
                    onMessage("process \(child), which the command left behind, belongs to another user and goes on")
                    return false
                }
                // What is stopped cannot end.
                kill(child, SIGCONT)
            }
            Self.waitForAny(children, upTo: isLate ? .milliseconds(200) : min(.milliseconds(500), deadline - clock.now))
            for child in children { waitpid(child, nil, WNOHANG) }
        }
    }

    /// Returns when one of them has ended, or the time has.
    private static func waitForAny(_ children: [pid_t], upTo limit: Duration) {
        let descriptors = children.prefix(64).map { OwnedDescriptorBox(larder_process_descriptor($0)) }
        var polls = descriptors.map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
        let milliseconds = limit.components.seconds * 1000 + limit.components.attoseconds / 1_000_000_000_000_000
        poll(&polls, nfds_t(polls.count), Int32(clamping: max(1, milliseconds)))
    }

    private static func children(of parent: pid_t) -> [pid_t] {
        guard let processes = try? Directory("/proc").entries() else { return [] }
        return processes.compactMap { entry -> pid_t? in
            guard let pid = pid_t(entry.text), let file = try? OwnedDescriptor.open("/proc/\(pid)/stat", O_RDONLY),
                let bytes = try? file.readToEnd(limit: 1024), let close = bytes.lastIndex(of: UInt8(ascii: ")"))
            else { return nil }
            // After the name, which may hold anything: state and parent (proc(5)).
            let fields = bytes[(close + 1)...].split(separator: UInt8(ascii: " "))
            return fields.count > 1 && pid_t(String(decoding: fields[1], as: UTF8.self)) == parent ? pid : nil
        }
    }
}

/// The signals that belong to the command.
public enum SignalForwarding {
    private static let numbers = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU]

    /// Those of them that end a process which does nothing about them.
    private static let endings: Set<Int32> = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM]

    /// - Parameter ignored: signals that whoever started us wants ignored (nohup).
    static func start(ignored: UInt64) {
        for number in numbers where ignored >> (number - 1) & 1 == 0 { larder_forward_signal(number) }
    }

    /// Tells of signals that come while no command runs. Called once; from then on none of them ends this process.
    public static func whileWaiting(_ body: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemError("pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let reader = ends[0]
        larder_forward_notes(ends[1])
        try DedicatedThread.start("larder-signals") {
            var number: UInt8 = 0
            while true {
                let count = read(reader, &number, 1)
                if count == 1, endings.contains(Int32(number)) { body(Int32(number)) } else if count == 0 || (count < 0 && errno != EINTR) { return }
            }
        }
        for number in endings where larder_ignored_signals() >> (number - 1) & 1 == 0 { larder_forward_signal(number) }
    }

    /// Whether one came while no command ran.
    static var isPending: Bool { larder_forward_pending() != 0 }

    /// Ends this process as the command ended, so that a shell or make sees the same.
    public static func end(by number: Int32) -> Never {
        larder_refuse_core()
        larder_reset_signal(number)
        kill(getpid(), number)
        // Process 1 of a container is not killed by itself; neither does every signal kill.
        exit(128 + number)
    }
}
