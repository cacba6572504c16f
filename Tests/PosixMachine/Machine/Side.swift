import CPosixMachine
import Glibc

/// One of the two directories, with the two processes that work on it.
final class Side {
    struct Failed: Error, CustomStringConvertible {
        let description: String

        init(_ what: String) { description = "\(what): \(Answer.errorName(errno))" }
    }

    private struct Process {
        let pid: pid_t
        let input: Int32
        let output: Int32
    }

    private var processes: [Process] = []

    /// - Parameter alike: the mount whose nosuid, nodev and noexec shall hold here too.
    init(directory: String, alike: String) throws(Failed) {
        for _ in 0..<2 { processes.append(try Self.start(["--worker", directory, alike])) }
    }

    deinit {
        for process in processes {
            close(process.input)
            close(process.output)
            kill(process.pid, SIGKILL)
            waitpid(process.pid, nil, 0)
        }
    }

    /// Workers are told apart from the numbers in an answer by this.
    func worker(ofProcess pid: Int) -> Int? { processes.firstIndex { Int($0.pid) == pid } }

    func ask(_ operation: Operation) {
        _ = Channel.send(processes[operation.worker].input, Array(operation.line.utf8))
    }

    /// nil where none comes within a minute, or the worker has died.
    func answer(_ worker: Int) -> [UInt8]? {
        var waiting = pollfd(fd: processes[worker].output, events: Int16(POLLIN), revents: 0)
        while true {
            let ready = poll(&waiting, 1, 60_000)
            if ready < 0 && errno == EINTR { continue }
            guard ready == 1 else { return nil }
            return Channel.receive(processes[worker].output)
        }
    }

    private static func start(_ arguments: [String]) throws(Failed) -> Process {
        var toWorker: [Int32] = [-1, -1], fromWorker: [Int32] = [-1, -1]
        guard pm_pipe(&toWorker, O_CLOEXEC) == 0, pm_pipe(&fromWorker, O_CLOEXEC) == 0 else { throw Failed("pipe") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toWorker[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromWorker[1], 1)
        var words: [UnsafeMutablePointer<CChar>?] = (["posix-machine"] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/proc/self/exe", &actions, nil, &words, environ)
        close(toWorker[0])
        close(fromWorker[1])
        guard code == 0 else {
            errno = code
            throw Failed("cannot start a worker")
        }
        return Process(pid: pid, input: toWorker[1], output: fromWorker[0])
    }
}
