// Keys of list pages, the covering of plaintext, and the tick of all rows. Pages work without it.
"use strict";
(() => {
  const rows = () => [...document.querySelectorAll("table.grid tbody tr[data-row]")];
  const typing = (e) => e.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
  const panel = () => document.querySelector("[data-detail]");
  let at = -1;

  function move(step) {
    const all = rows();
    if (!all.length) return;
    const marked = all.findIndex((r) => r.classList.contains("at"));
    at = Math.min(Math.max((marked < 0 ? -1 : marked) + step, 0), all.length - 1);
    all.forEach((r, i) => r.classList.toggle("at", i === at));
    const open = all[at].querySelector("a.open");
    (open || all[at]).focus({preventScroll: true});
    all[at].scrollIntoView({block: "nearest"});
    if (open && panel()?.firstElementChild) open.click();
  }

  function current() {
    return rows().find((r) => r.classList.contains("at"));
  }

  function help() {
    let box = document.getElementById("keys");
    if (!box) {
      box = document.createElement("dialog");
      box.id = "keys";
      box.innerHTML = "<h2>快捷键</h2><dl><dt>j / k</dt><dd>下一行／上一行；详情开着时随之换条</dd><dt>x</dt><dd>勾选</dd><dt>Enter</dt><dd>打开</dd><dt>1–9</dt><dd>采用第几个来源；复核时 1 通过、2 驳回；各按钮上标有其键</dd><dt>Esc</dt><dd>关闭详情，或返回列表</dd><dt>?</dt><dd>本说明</dd></dl><form method=dialog><button>关闭</button></form>";
      document.body.append(box);
    }
    box.showModal();
  }

  function close() {
    const box = document.querySelector("dialog[open]");
    if (box) return box.close();
    const back = document.querySelector("a[data-key=Escape]");
    if (panel()?.firstElementChild) {
      panel().replaceChildren();
      current()?.querySelector("a.open")?.focus();
    } else if (back) back.click();
  }

  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") return close();
    if (e.ctrlKey || e.altKey || e.metaKey || typing(e) || document.querySelector("dialog[open]")) return;
    if (e.key === "j") move(1);
    else if (e.key === "k") move(-1);
    else if (e.key === "?") help();
    else if (e.key === "x") current()?.querySelector("input[type=checkbox]")?.click();
    else if (e.key === "Enter" && !e.target.closest("a, button, summary")) current()?.querySelector("a.open")?.click();
    else if (/^[1-9]$/.test(e.key)) document.querySelector(`[data-key="${e.key}"]:not([disabled])`)?.click();
    else return;
    e.preventDefault();
  });

  document.addEventListener("change", (e) => {
    const box = e.target;
    if (box.matches("input[data-all]")) {
      box.closest("table").querySelectorAll("tbody input[type=checkbox]").forEach((c) => { c.checked = box.checked; });
    }
    const table = box.closest("table.grid");
    const told = table && document.querySelector("[data-ticked]");
    if (told) told.textContent = table.querySelectorAll("tbody input[type=checkbox]:checked").length;
    if (box.matches("[data-submit]")) box.form.requestSubmit();
  });

  document.addEventListener("submit", (e) => {
    const asked = e.submitter?.dataset.confirm;
    if (asked && !window.confirm(asked)) e.preventDefault();
  });

  document.addEventListener("click", (e) => {
    if (e.target.closest("[data-print]")) window.print();
    if (e.target.closest("[data-close]")) {
      e.preventDefault();
      close();
    }
  });

  // A detail came into its panel: its row is the one in hand, and keys go on where they were.
  document.addEventListener("htmx:after:swap", (e) => {
    const box = panel(), number = box?.querySelector("[data-number]")?.dataset.number;
    if (!box?.firstElementChild || e.detail?.ctx?.target !== box) return;
    box.scrollTop = 0;
    if (number && document.getElementById(`c${number}`)) rows().forEach((r) => r.classList.toggle("at", r.id === `c${number}`));
    current()?.scrollIntoView({block: "nearest"});
    if (!box.contains(document.activeElement)) box.focus({preventScroll: true});
  });

  // Plaintext covers itself again when the server's time is over (console 1).
  const seconds = Number(document.body.dataset.plainSeconds || 0);
  if (seconds > 0) {
    setTimeout(() => {
      document.querySelectorAll(".plain[data-masked]").forEach((v) => {
        v.textContent = v.dataset.masked;
        v.className = "mask";
      });
      document.getElementById("plain-note")?.remove();
    }, seconds * 1000);
  }
})();
