import Glibc
import Run
import Synchronization

/// A command that runs in this process's place: signals end it, and this process ends as it did.
enum ForegroundRun {
    typealias Runner = (RunSession) async throws -> Outcome

    /// - Parameter body: makes the session, has it run, and clears up; what it throws is said, and ends the process with 125 to 127.
    static func end(with body: (Runner) async throws -> Outcome) async -> Never {
        let signal = Mutex<Int32>(0)
        do {
            let outcome = try await body { session in
                let task = Task { try await session.run() }
                try SignalForwarding.whileWaiting { number in
                    signal.withLock { $0 = number }
                    task.cancel()
                }
                return try await task.value
            }
            switch outcome {
            case .exited(let code): exit(code)
            case .signalled(let number): SignalForwarding.end(by: number)
            }
        } catch {
            let number = signal.withLock { $0 }
            if number != 0 { SignalForwarding.end(by: number) }
            Terminal.error("larder: \((error as? Failure ?? Failure(error)).message)")
            exit(code(of: error))
        }
    }

    /// 125 as docker has it, so that the command's own codes are told from ours.
    private static func code(of error: any Error) -> Int32 {
        switch error as? RunError {
        case .programNotFound: 127
        case .programNotExecutable: 126
        default: 125
        }
    }
}

extension RunRequest {
    /// A command of our own command line, to be run from here with the limits that this process began with.
    init(here command: [String]) throws(Failure) {
        guard let current = getcwd(nil, 0) else { throw Failure(.failed, "the current directory: \(String(cString: strerror(errno)))") }
        defer { free(current) }
        self.init(command: Self.bytes(of: command), currentDirectory: String(cString: current))
        descriptorLimit = Larder.originalDescriptorLimit.map { (UInt64($0.rlim_cur), UInt64($0.rlim_max)) }
    }

    /// The command byte for byte: a `String` would replace what is not UTF-8.
    private static func bytes(of command: [String]) -> [[UInt8]] {
        let words = command.first == "--" ? command.dropFirst() : command[...]
        let count = Int(CommandLine.argc)
        return (max(0, count - words.count)..<count).compactMap { CommandLine.unsafeArgv[$0] }.map { word in
            Array(UnsafeBufferPointer(start: UnsafeRawPointer(word).assumingMemoryBound(to: UInt8.self), count: strlen(word)))
        }
    }
}
