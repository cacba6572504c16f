import LinuxIO

/// Why a command could not be run. The texts are for whoever typed it.
public enum RunError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The program is nowhere: exit code 127, as a shell's.
    case programNotFound(String)
    /// The program is there and cannot be executed: exit code 126.
    case programNotExecutable(String, reason: String)
    /// What was asked for makes no sense, or cannot be had.
    case invalid(String)
    /// The kernel refused a step of the preparation; `advice` says what could be done about it, or is empty.
    case refused(String, reason: String, advice: String)

    public var description: String {
        switch self {
        case .programNotFound(let name): "\(name): not found"
        case .programNotExecutable(let name, let reason): "\(name): cannot be executed: \(reason)"
        case .invalid(let text): text
        case .refused(let purpose, let reason, let advice): "\(purpose): \(reason)" + (advice.isEmpty ? "" : ". \(advice)")
        }
    }
}

extension RunError {
    init(_ error: SystemError) { self = .invalid(error.description) }

    /// Runs `body`; what the kernel refuses becomes a `RunError` that says what it was for.
    static func catching<Value: ~Copyable>(_ purpose: String, _ body: () throws(SystemError) -> Value) throws(RunError) -> Value {
        do throws(SystemError) {
            return try body()
        } catch {
            throw .invalid("\(purpose): \(error)")
        }
    }
}
