import CLinux
import Glibc
import LinuxIO

/// A program with all that it gets, and the system calls that come before it.
struct ChildProgram: Sendable {
    var steps = StepProgram()
    /// The program's name, for messages.
    var name: String
    /// Paths to try in turn.
    var candidates: [[UInt8]]
    var arguments: [[UInt8]]
    /// `NAME=VALUE` each.
    var environment: [[UInt8]]
    /// Bit N - 1: signal N stays ignored.
    var ignoredSignals: UInt64 = 0

    /// Starts it and returns when the program runs. The calling thread must outlive it where a step asks for a signal at the
    /// parent's death: that means the death of this thread.
    ///
    /// - Parameter onStart: called with the process before anything is known about how it went.
    func launch(onStart: (pid_t) -> Void = { _ in }) throws(RunError) -> pid_t {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw RunError(SystemError("pipe")) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let reader = OwnedDescriptor(owning: ends[0])
        let pid = ChildMemory(self).launch(report: ends[1])
        let code = errno
        close(ends[1])
        guard pid > 0 else { throw RunError(SystemError("fork", code: code)) }
        onStart(pid)
        let bytes = (try? reader.readToEnd(limit: MemoryLayout<larder_report>.size)) ?? []
        // Nothing: the exec closed the pipe; or it was killed, which its status will tell.
        guard bytes.count == MemoryLayout<larder_report>.size else { return pid }
        while waitpid(pid, nil, 0) < 0 && errno == EINTR {}
        throw failure(bytes.withUnsafeBytes { $0.loadUnaligned(as: larder_report.self) })
    }

    private func failure(_ report: larder_report) -> RunError {
        let reason = SystemError("", code: report.code).reason
        guard Int(report.step) < steps.steps.count else {
            return report.code == ENOENT ? .programNotFound(name) : .programNotExecutable(name, reason: reason)
        }
        let step = steps.steps[Int(report.step)]
        return .refused(step.purpose, reason: reason, advice: NamespaceAdvice.text(call: step.call, code: report.code))
    }
}

/// The C shape of a child, which must not move or go while the fork reads it.
private final class ChildMemory {
    private var allocations: [UnsafeMutableRawBufferPointer] = []
    private var child = larder_child()

    init(_ program: ChildProgram) {
        let steps = program.steps.steps
        let memory = allocate(max(1, steps.count) * MemoryLayout<larder_step>.stride).bindMemory(to: larder_step.self, capacity: max(1, steps.count))
        for (index, step) in steps.enumerated() { memory[index] = translate(step) }
        child.steps = UnsafePointer(memory)
        child.step_count = steps.count
        child.candidates = UnsafePointer(list(program.candidates))
        child.arguments = UnsafePointer(list(program.arguments))
        child.environment = UnsafePointer(list(program.environment))
        child.shell_arguments = list([Array("sh".utf8), []] + program.arguments.dropFirst())
        child.ignored_signals = program.ignoredSignals
    }

    deinit {
        // Secrets were in here.
        for allocation in allocations {
            if let base = allocation.baseAddress { explicit_bzero(base, allocation.count) }
            allocation.deallocate()
        }
    }

    func launch(report: Int32) -> pid_t {
        child.report = report
        return withExtendedLifetime(self) { larder_launch(&child) }
    }

    private func translate(_ step: Step) -> larder_step {
        var result = larder_step()
        result.number = step.call
        result.result = step.result?.number ?? -1
        _ = withUnsafeMutableBytes(of: &result.slots) { $0.initializeMemory(as: Int8.self, repeating: -1) }
        for (index, argument) in step.arguments.enumerated() {
            var value = 0
            switch argument {
            case .number(let number): value = number
            case .text(let text): value = address(text + [0])
            case .bytes(let bytes): value = address(bytes)
            case .slot(let slot): withUnsafeMutableBytes(of: &result.slots) { $0[index] = UInt8(bitPattern: slot.number) }
            }
            withUnsafeMutableBytes(of: &result.arguments) { $0.storeBytes(of: value, toByteOffset: index * MemoryLayout<Int>.size, as: Int.self) }
        }
        withUnsafeMutableBytes(of: &result.accepted) { memory in
            for (index, code) in step.accepted.prefix(2).enumerated() { memory.storeBytes(of: code, toByteOffset: index * 4, as: Int32.self) }
        }
        return result
    }

    private func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        allocations.append(memory)
        return memory.baseAddress.unsafelyUnwrapped
    }

    private func copy(_ bytes: [UInt8]) -> UnsafeMutableRawPointer {
        let memory = allocate(max(1, bytes.count))
        bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: memory, count: bytes.count).copyMemory(from: $0) }
        return memory
    }

    private func address(_ bytes: [UInt8]) -> Int { Int(bitPattern: copy(bytes)) }

    private func list(_ texts: [[UInt8]]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
        let memory = allocate((texts.count + 1) * MemoryLayout<UnsafeMutablePointer<CChar>?>.stride)
            .bindMemory(to: UnsafeMutablePointer<CChar>?.self, capacity: texts.count + 1)
        for (index, text) in texts.enumerated() { memory[index] = copy(text + [0]).assumingMemoryBound(to: CChar.self) }
        memory[texts.count] = nil
        return memory
    }
}
